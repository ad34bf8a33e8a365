// y = (x - mean) / sqrt(variance + epsilon) * weight + bias along each row (arXiv 1607.06450); mean and rstd are kept for the
// gradient. One invocation per row, made for software adapters. Two passes, since a difference of sums loses the small variances.
alias Element = vec4f; // f32 where the width is not a multiple of 4
alias Stored = vec4f;  // x and y as they lie in memory; f16 or vec4<f16> for half precision
const share = 1.0;     // 0.25 for an Element of f32: dot(vec4f(v), vec4f(share)) is then v, else the sum of the four
struct Params { rows: u32, columns: u32, width: f32, epsilon: f32 } // columns in Elements, width in numbers
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> weight: array<Element>;
@group(0) @binding(3) var<storage, read> bias: array<Element>;
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;
@group(0) @binding(6) var<storage, read_write> rstd: array<f32>;

fn across(v: Element) -> f32 { return dot(vec4f(v), vec4f(share)); }

@compute @workgroup_size(64)
fn layer_norm(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var row = id.x; row < params.rows; row += groups.x * 64u) {
    let first = row * params.columns;
    var sum = Element(0.0);
    for (var c = 0u; c < params.columns; c++) { sum += Element(x[first + c]); }
    let estimate = across(sum) / params.width;
    var squares = Element(0.0);
    var rest = Element(0.0); // what rounding took from the mean, 0.3 deviations of a row of numbers near 1000
    for (var c = 0u; c < params.columns; c++) {
      let deviation = Element(x[first + c]) - estimate;
      squares += deviation * deviation;
      rest += deviation;
    }
    let shift = across(rest) / params.width;
    let centre = estimate + shift;
    let scale = 1.0 / sqrt(max(across(squares) / params.width - shift * shift, 0.0) + params.epsilon);
    for (var c = 0u; c < params.columns; c++) {
      y[first + c] = Stored((Element(x[first + c]) - centre) * scale * weight[c] + bias[c]);
    }
    mean[row] = centre;
    rstd[row] = scale;
  }
}
