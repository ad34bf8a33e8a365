// y[r, :] = x[r, :] / max(|x[r, :]|, epsilon), the factor is kept in scale[r]; one invocation per row, made for software adapters.
struct Params { rows: u32, columns: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> scale: array<f32>;

fn load4(i: u32) -> vec4f { return vec4f(x[i], x[i + 1u], x[i + 2u], x[i + 3u]); }

@compute @workgroup_size(64)
fn l2_normalize(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var row = id.x; row < params.rows; row += groups.x * 64u) {
    let first = row * params.columns;
    let end = first + params.columns;
    // Squares are taken of x / largest, so that they neither overflow nor vanish.
    var sizes = vec4f(0.0);
    var i = first;
    for (; i + 4u <= end; i += 4u) { sizes = max(sizes, abs(load4(i))); }
    for (; i < end; i++) { sizes.x = max(sizes.x, abs(x[i])); }
    let largest = max(max(max(sizes.x, sizes.y), max(sizes.z, sizes.w)), 1e-30);
    let shrink = 1.0 / largest;
    var squares = vec4f(0.0);
    i = first;
    for (; i + 4u <= end; i += 4u) {
      let v = load4(i) * shrink;
      squares += v * v;
    }
    for (; i < end; i++) { squares.x += (x[i] * shrink) * (x[i] * shrink); }
    let length = largest * sqrt(dot(squares, vec4f(1.0)));
    // NaN passes; the rows of an infinite number become 0 beside it, as with a division.
    let divisor = select(max(length, params.epsilon), length, !(length == length));
    let factor = select(1.0 / divisor, 0.0, largest > 3.4028234e38);
    for (i = first; i < end; i++) { y[i] = factor * x[i]; }
    scale[row] = factor;
  }
}
