// dLogits[r, c] = dLosses[r] (sums[r].z exp((logits[r, c] - sums[r].x) - sums[r].y) - targets[r, c]), sums as in soft_cross_entropy.
// One invocation per element; the grid strides over them.
struct Params { count: u32, columns: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;
@group(0) @binding(3) var<storage, read> sums: array<vec4f>;
@group(0) @binding(4) var<storage, read> dLosses: array<f32>;
@group(0) @binding(5) var<storage, read_write> dLogits: array<f32>;

@compute @workgroup_size(64)
fn soft_cross_entropy_grad(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let row = i / params.columns;
    let all = sums[row];
    let share = (logits[i] - all.x) - all.y;
    dLogits[i] = dLosses[row] * (all.z * select(exp(share), share, !(share == share)) - targets[i]); // NaN passes
  }
}
