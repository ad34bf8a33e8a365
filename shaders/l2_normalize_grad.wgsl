// dx = scale (dy - y (y . dy)) along each row: the part of dy along y cannot change a unit vector. Rows shorter than epsilon
// were divided by a constant: dx = scale dy. One invocation per row, made for software adapters.
struct Params { rows: u32, columns: u32, floor: f32 } // floor: 1 / epsilon, the factor of rows shorter than epsilon
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

fn y4(i: u32) -> vec4f { return vec4f(y[i], y[i + 1u], y[i + 2u], y[i + 3u]); }
fn dy4(i: u32) -> vec4f { return vec4f(dy[i], dy[i + 1u], dy[i + 2u], dy[i + 3u]); }

@compute @workgroup_size(64)
fn l2_normalize_grad(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var row = id.x; row < params.rows; row += groups.x * 64u) {
    let first = row * params.columns;
    let end = first + params.columns;
    var products = vec4f(0.0);
    var i = first;
    for (; i + 4u <= end; i += 4u) { products += y4(i) * dy4(i); }
    for (; i < end; i++) { products.x += y[i] * dy[i]; }
    let factor = scale[row];
    let along = select(dot(products, vec4f(1.0)), 0.0, factor >= params.floor);
    for (i = first; i < end; i++) { dx[i] = factor * (dy[i] - along * y[i]); }
  }
}
