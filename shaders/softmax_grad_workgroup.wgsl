// dx = y (dy - sum(y dy)) along each row; one workgroup per row, made for hardware.
alias Stored = f32; // as it lies in memory; f16 for half precision
const lanes = 64u;  // threads per row; a power of two, for the tree
struct Params { rows: u32, columns: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<Stored>;
@group(0) @binding(2) var<storage, read> dy: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;
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
fn softmax_grad_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  for (var row = group.x; row < params.rows; row += groups.x) {
    let first = row * params.columns;
    let end = first + params.columns;
    var products = 0.0;
    for (var i = first + lane; i < end; i += lanes) { products += f32(y[i]) * f32(dy[i]); }
    let along = row_sum(products, lane);
    for (var i = first + lane; i < end; i += lanes) { dx[i] = Stored(f32(y[i]) * (f32(dy[i]) - along)); }
  }
}
