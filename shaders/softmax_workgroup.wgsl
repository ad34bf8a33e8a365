// y[r, :] = exp(x[r, :] - m) / sum(exp(x[r, :] - m)), m the row's maximum; one workgroup per row, made for hardware.
alias Stored = f32; // as it lies in memory; f16 for half precision
const lanes = 64u;  // threads per row; a power of two, for the trees
struct Params { rows: u32, columns: u32 }
const lowest = -3.4028234e38; // where maxima start: of minus infinity alone no difference could be taken
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;
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
fn softmax_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  for (var row = group.x; row < params.rows; row += groups.x) {
    let first = row * params.columns;
    let end = first + params.columns;
    var largest = lowest;
    for (var i = first + lane; i < end; i += lanes) { largest = max(largest, f32(x[i])); }
    largest = row_maximum(largest, lane);
    var sum = 0.0;
    for (var i = first + lane; i < end; i += lanes) { sum += exp(f32(x[i]) - largest); }
    let total = row_sum(sum, lane);
    // Where exp(NaN) is infinite the others would become 0: no sum of numbers up to 1 is that large.
    let scale = select(1.0 / total, bitcast<f32>(params.rows | 0x7fc00000u), total > 1e30);
    for (var i = first + lane; i < end; i += lanes) { y[i] = Stored(scale * exp(f32(x[i]) - largest)); }
  }
}
