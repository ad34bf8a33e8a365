// y = (x - mean) / sqrt(variance + epsilon) * weight + bias along each row (arXiv 1607.06450); mean and rstd are kept for the
// gradient. One workgroup per row, made for hardware.
alias Element = vec4f; // f32 where the width is not a multiple of 4
alias Stored = vec4f;  // x and y as they lie in memory; f16 or vec4<f16> for half precision
const share = 1.0;     // 0.25 for an Element of f32: dot(vec4f(v), vec4f(share)) is then v, else the sum of the four
const lanes = 64u;     // threads per row; a power of two, for the tree
struct Params { rows: u32, columns: u32, width: f32, epsilon: f32 } // columns in Elements, width in numbers
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> weight: array<Element>;
@group(0) @binding(3) var<storage, read> bias: array<Element>;
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;
@group(0) @binding(6) var<storage, read_write> rstd: array<f32>;
var<workgroup> partial: array<f32, lanes>;
var<workgroup> pairs: array<vec2f, lanes>;

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

fn row_sums(value: vec2f, lane: u32) -> vec2f {
  workgroupBarrier();
  pairs[lane] = value;
  for (var stride = lanes / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) { pairs[lane] += pairs[lane + stride]; }
  }
  workgroupBarrier();
  return pairs[0];
}

@compute @workgroup_size(lanes)
fn layer_norm_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  for (var row = group.x; row < params.rows; row += groups.x) {
    let first = row * params.columns;
    var sum = Element(0.0);
    for (var c = lane; c < params.columns; c += lanes) { sum += Element(x[first + c]); }
    let estimate = row_sum(across(sum), lane) / params.width;
    var squares = Element(0.0);
    var rest = Element(0.0); // what rounding took from the mean, 0.3 deviations of a row of numbers near 1000
    for (var c = lane; c < params.columns; c += lanes) {
      let deviation = Element(x[first + c]) - estimate;
      squares += deviation * deviation;
      rest += deviation;
    }
    let moments = row_sums(vec2f(across(rest), across(squares)), lane) / params.width;
    let centre = estimate + moments.x;
    let scale = 1.0 / sqrt(max(moments.y - moments.x * moments.x, 0.0) + params.epsilon);
    for (var c = lane; c < params.columns; c += lanes) {
      y[first + c] = Stored((Element(x[first + c]) - centre) * scale * weight[c] + bias[c]);
    }
    if (lane == 0u) {
      mean[row] = centre;
      rstd[row] = scale;
    }
  }
}
