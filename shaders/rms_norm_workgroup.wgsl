// y = x / sqrt(mean(x^2) + epsilon) * weight along each row (arXiv 1910.07467, eq. 4); rstd, the reciprocal root, is kept for the
// gradient. One workgroup per row, made for hardware.
alias Element = vec4f; // f32 where the width is not a multiple of 4
alias Stored = vec4f;  // x and y as they lie in memory; f16 or vec4<f16> for half precision
const share = 1.0;     // 0.25 for an Element of f32: dot(vec4f(v), vec4f(share)) is then v, else the sum of the four
const lanes = 64u;     // threads per row; a power of two, for the tree
struct Params { rows: u32, columns: u32, width: f32, epsilon: f32 } // columns in Elements, width in numbers
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> weight: array<Element>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;
var<workgroup> partial: array<f32, lanes>;

fn across(v: Element) -> f32 { return dot(vec4f(v), vec4f(share)); }

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
fn rms_norm_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  for (var row = group.x; row < params.rows; row += groups.x) {
    let first = row * params.columns;
    var squares = Element(0.0);
    for (var c = lane; c < params.columns; c += lanes) {
      let v = Element(x[first + c]);
      squares += v * v;
    }
    let scale = 1.0 / sqrt(row_sum(across(squares), lane) / params.width + params.epsilon);
    for (var c = lane; c < params.columns; c += lanes) { y[first + c] = Stored(Element(x[first + c]) * scale * weight[c]); }
    if (lane == 0u) { rstd[row] = scale; }
  }
}
