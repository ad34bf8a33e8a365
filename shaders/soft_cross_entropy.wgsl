// Soft-max cross-entropy of row r against weights of the classes, such as smoothed and mixed targets:
//   log sum exp(logits[r, :]) = sums[r].x + sums[r].y, the largest logit and the rest,   sums[r].z = sum over c of targets[r, c],
//   losses[r] = sum over c of targets[r, c] (sums[r].x - logits[r, c] + sums[r].y).   One workgroup per row.
const lanes = 64u; // threads per row; a power of two, for the trees
struct Params { rows: u32, columns: u32 }
const lowest = -3.4028234e38; // where maxima start: of minus infinity alone no difference could be taken
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<vec4f>;
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
fn soft_cross_entropy(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  for (var row = group.x; row < params.rows; row += groups.x) {
    let first = row * params.columns;
    let end = first + params.columns;
    var largest = lowest;
    for (var i = first + lane; i < end; i += lanes) { largest = max(largest, logits[i]); }
    largest = row_maximum(largest, lane);
    var sum = 0.0;
    var mass = 0.0;
    var distance = 0.0; // of the logits from the largest one, each as much as its class is wanted
    for (var i = first + lane; i < end; i += lanes) {
      sum += exp(logits[i] - largest);
      mass += targets[i];
      distance += targets[i] * (largest - logits[i]);
    }
    // The largest logit makes it 1 at least: below there is none, above exp(NaN) was infinite.
    let powers = row_sum(sum, lane);
    let level = select(log(powers), bitcast<f32>(params.rows | 0x7fc00000u), !(powers > 0.5 && powers < 1e30));
    let total = row_sum(mass, lane);
    let whole = row_sum(distance, lane);
    if (lane == 0u) {
      losses[row] = whole + total * level;
      sums[row] = vec4f(largest, level, total, 0.0);
    }
  }
}
