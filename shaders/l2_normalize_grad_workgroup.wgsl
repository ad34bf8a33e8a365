// dx = scale (dy - y (y . dy)) along each row: the part of dy along y cannot change a unit vector. Rows shorter than epsilon
// were divided by a constant: dx = scale dy. One workgroup per row, made for hardware.
const lanes = 64u; // threads per row; a power of two, for the tree
struct Params { rows: u32, columns: u32, floor: f32 } // floor: 1 / epsilon, the factor of rows shorter than epsilon
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
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

@compute @workgroup_size(lanes)
fn l2_normalize_grad_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  for (var row = group.x; row < params.rows; row += groups.x) {
    let first = row * params.columns;
    let end = first + params.columns;
    var products = 0.0;
    for (var i = first + lane; i < end; i += lanes) { products += y[i] * dy[i]; }
    let factor = scale[row];
    let total = row_sum(products, lane);
    let along = select(total, 0.0, factor >= params.floor);
    for (var i = first + lane; i < end; i += lanes) { dx[i] = factor * (dy[i] - along * y[i]); }
  }
}
