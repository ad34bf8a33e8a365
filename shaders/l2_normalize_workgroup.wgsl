// y[r, :] = x[r, :] / max(|x[r, :]|, epsilon), the factor is kept in scale[r]; one workgroup per row, made for hardware.
const lanes = 64u; // threads per row; a power of two, for the trees
struct Params { rows: u32, columns: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> scale: array<f32>;
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
fn l2_normalize_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  for (var row = group.x; row < params.rows; row += groups.x) {
    let first = row * params.columns;
    let end = first + params.columns;
    // Squares are taken of x / largest, so that they neither overflow nor vanish.
    var size = 0.0;
    for (var i = first + lane; i < end; i += lanes) { size = max(size, abs(x[i])); }
    let largest = max(row_maximum(size, lane), 1e-30);
    let shrink = 1.0 / largest;
    var squares = 0.0;
    for (var i = first + lane; i < end; i += lanes) { squares += (x[i] * shrink) * (x[i] * shrink); }
    let length = largest * sqrt(row_sum(squares, lane));
    // NaN passes; the rows of an infinite number become 0 beside it, as with a division.
    let divisor = select(max(length, params.epsilon), length, !(length == length));
    let factor = select(1.0 / divisor, 0.0, largest > 3.4028234e38);
    for (var i = first + lane; i < end; i += lanes) { y[i] = factor * x[i]; }
    if (lane == 0u) { scale[row] = factor; }
  }
}
