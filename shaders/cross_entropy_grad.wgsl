// dLogits[r, c] = dLosses[r] (exp((logits[r, c] - logSum[r].x) - logSum[r].y) - s / columns - (1 - s) [c is the target]), s the label smoothing.
// One invocation per element; the grid strides over them.
struct Params { count: u32, columns: u32, smoothing: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> logSum: array<vec2f>;
@group(0) @binding(4) var<storage, read> dLosses: array<f32>;
@group(0) @binding(5) var<storage, read_write> dLogits: array<f32>;

@compute @workgroup_size(64)
fn cross_entropy_grad(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let row = i / params.columns;
    let hit = select(0.0, 1.0 - params.smoothing, i - row * params.columns == min(targets[row], params.columns - 1u));
    let wanted = hit + params.smoothing / f32(params.columns);
    let share = (logits[i] - logSum[row].x) - logSum[row].y;
    dLogits[i] = dLosses[row] * (select(exp(share), share, !(share == share)) - wanted); // NaN passes
  }
}
