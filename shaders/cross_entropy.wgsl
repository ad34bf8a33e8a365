// Soft-max cross-entropy of row r against q = (1 - s) onehot(targets[r]) + s / columns, s the label smoothing (arXiv 1512.00567):
//   logSum[r] = log sum exp(logits[r, :]),   losses[r] = logSum[r] - (1 - s) logits[r, target] - s mean(logits[r, :]).
// A target outside the row is clamped and raises the flag, bad index + 1. One invocation per row, made for software adapters.
struct Params { rows: u32, columns: u32, smoothing: f32, slot: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> logSum: array<f32>;
@group(0) @binding(5) var<storage, read_write> flags: array<atomic<u32>>;

fn load4(i: u32) -> vec4f { return vec4f(logits[i], logits[i + 1u], logits[i + 2u], logits[i + 3u]); }

@compute @workgroup_size(64)
fn cross_entropy(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var row = id.x; row < params.rows; row += groups.x * 64u) {
    let first = row * params.columns;
    let end = first + params.columns;
    var largest = logits[first];
    var sum = vec4f(0.0);
    var excess = vec4f(0.0); // of the logits over the first one: small numbers keep their digits
    var i = first;
    let origin = logits[first];
    for (; i + 4u <= end; i += 4u) {
      let v = load4(i);
      let next = max(largest, max(max(v.x, v.y), max(v.z, v.w)));
      sum = sum * exp(largest - next) + exp(v - next);
      excess += v - origin;
      largest = next;
    }
    for (; i < end; i++) {
      let v = logits[i];
      let next = max(largest, v);
      sum = sum * exp(largest - next) + vec4f(exp(v - next), 0.0, 0.0, 0.0);
      excess.x += v - origin;
      largest = next;
    }
    let wanted = targets[row];
    if (wanted >= params.columns) { atomicMax(&flags[params.slot], min(wanted, 4294967294u) + 1u); }
    let hit = logits[first + min(wanted, params.columns - 1u)];
    let level = log(dot(sum, vec4f(1.0)));
    let average = origin + dot(excess, vec4f(1.0)) / f32(params.columns);
    losses[row] = level + (1.0 - params.smoothing) * (largest - hit) + params.smoothing * (largest - average);
    logSum[row] = largest + level;
  }
}
