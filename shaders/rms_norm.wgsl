// y = x / sqrt(mean(x^2) + epsilon) * weight along each row (arXiv 1910.07467, eq. 4); rstd, the reciprocal root, is kept for the
// gradient. One invocation per row, made for software adapters.
alias Element = vec4f; // f32 where the width is not a multiple of 4
alias Stored = vec4f;  // x and y as they lie in memory; f16 or vec4<f16> for half precision
const share = 1.0;     // 0.25 for an Element of f32: dot(vec4f(v), vec4f(share)) is then v, else the sum of the four
struct Params { rows: u32, columns: u32, width: f32, epsilon: f32 } // columns in Elements, width in numbers
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> weight: array<Element>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;

fn across(v: Element) -> f32 { return dot(vec4f(v), vec4f(share)); }

@compute @workgroup_size(64)
fn rms_norm(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var row = id.x; row < params.rows; row += groups.x * 64u) {
    let first = row * params.columns;
    var squares = Element(0.0);
    for (var c = 0u; c < params.columns; c++) {
      let v = Element(x[first + c]);
      squares += v * v;
    }
    let scale = 1.0 / sqrt(across(squares) / params.width + params.epsilon);
    for (var c = 0u; c < params.columns; c++) { y[first + c] = Stored(Element(x[first + c]) * scale * weight[c]); }
    rstd[row] = scale;
  }
}
