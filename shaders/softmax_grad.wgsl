// dx = y (dy - sum(y dy)) along each row; one invocation per row, made for software adapters.
alias Element = vec4f; // f32 where the columns are not a multiple of 4
alias Stored = vec4f; // as it lies in memory; f16 or vec4<f16> for half precision
const width = 4u; // numbers in an Element
struct Params { rows: u32, columns: u32 } // columns count Elements
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<Stored>;
@group(0) @binding(2) var<storage, read> dy: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

@compute @workgroup_size(64)
fn softmax_grad(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var row = id.x; row < params.rows; row += groups.x * 64u) {
    let first = row * params.columns;
    let end = first + params.columns;
    var products = Element();
    for (var i = first; i < end; i++) { products += Element(y[i]) * Element(dy[i]); }
    let along = dot(vec4f(products), vec4f(0.25 * f32(width))); // of a single number four copies, which count as one
    for (var i = first; i < end; i++) { dx[i] = Stored(Element(y[i]) * (Element(dy[i]) - along)); }
  }
}
