// Soft-max cross-entropy of row r against q = (1 - s) onehot(targets[r]) + s / columns, s the label smoothing (arXiv 1512.00567):
//   log sum exp(logits[r, :]) = logSum[r].x + logSum[r].y, the largest logit and the rest,   losses[r] = logSum[r].x + logSum[r].y - (1 - s) logits[r, target] - s mean(logits[r, :]).
// A target outside the row is clamped and raises the flag: bad index + 1, or a negative one as it is. One workgroup per row, made for hardware.
const lanes = 64u; // threads per row; a power of two, for the trees
struct Params { rows: u32, columns: u32, smoothing: f32, slot: u32 }
const lowest = -3.4028234e38; // where maxima start: of minus infinity alone no difference could be taken
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> logSum: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> flags: array<atomic<u32>>;
var<workgroup> partial: array<f32, lanes>;

fn row_sum(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  partial[lane] = value;
  for (var stride = lanes / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
  }
  workgroupBarrier();
  return partial[0];
}

fn row_maximum(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  partial[lane] = value;
  for (var stride = lanes / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) { partial[lane] = max(partial[lane], partial[lane + stride]); }
  }
  workgroupBarrier();
  return partial[0];
}

@compute @workgroup_size(lanes)
fn cross_entropy_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  for (var row = group.x; row < params.rows; row += groups.x) {
    let first = row * params.columns;
    let end = first + params.columns;
    let origin = select(logits[first], 0.0, logits[first] < lowest); // minus infinity is no place to start from
    let portion = 1.0 / f32(params.columns); // of each logit in the mean: large ones would overflow as a sum
    var largest = lowest;
    var excess = 0.0; // of the logits over the first one: small numbers keep their digits
    for (var i = first + lane; i < end; i += lanes) {
      largest = max(largest, logits[i]);
      excess += (logits[i] - origin) * portion;
    }
    largest = row_maximum(largest, lane);
    let average = origin + row_sum(excess, lane);
    var sum = 0.0;
    for (var i = first + lane; i < end; i += lanes) { sum += exp(logits[i] - largest); }
    let total = row_sum(sum, lane);
    // The largest logit makes it 1 at least: below there is none, above exp(NaN) was infinite.
    let level = select(log(total), bitcast<f32>(params.rows | 0x7fc00000u), !(total > 0.5 && total < 1e30));
    if (lane == 0u) {
      let wanted = targets[row];
      if (wanted >= params.columns) { atomicMax(&flags[params.slot], select(wanted + 1u, wanted, wanted > 0x80000000u)); }
      let hit = logits[first + min(wanted, params.columns - 1u)];
      let spread = select(params.smoothing * (largest - average), 0.0, params.smoothing == 0.0);
      losses[row] = level + (1.0 - params.smoothing) * (largest - hit) + spread;
      logSum[row] = vec2f(largest, level);
    }
  }
}
