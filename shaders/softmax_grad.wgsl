// dx = y (dy - sum(y dy)) along each row; one invocation per row, made for software adapters.
alias Stored = f32; // as it lies in memory; f16 for half precision
struct Params { rows: u32, columns: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<Stored>;
@group(0) @binding(2) var<storage, read> dy: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

fn y4(i: u32) -> vec4f { return vec4f(f32(y[i]), f32(y[i + 1u]), f32(y[i + 2u]), f32(y[i + 3u])); }
fn dy4(i: u32) -> vec4f { return vec4f(f32(dy[i]), f32(dy[i + 1u]), f32(dy[i + 2u]), f32(dy[i + 3u])); }

@compute @workgroup_size(64)
fn softmax_grad(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var row = id.x; row < params.rows; row += groups.x * 64u) {
    let first = row * params.columns;
    let end = first + params.columns;
    var products = vec4f(0.0);
    var i = first;
    for (; i + 4u <= end; i += 4u) { products += y4(i) * dy4(i); }
    for (; i < end; i++) { products.x += f32(y[i]) * f32(dy[i]); }
    let along = dot(products, vec4f(1.0));
    i = first;
    for (; i + 4u <= end; i += 4u) {
      let d = y4(i) * (dy4(i) - along);
      dx[i] = Stored(d.x);
      dx[i + 1u] = Stored(d.y);
      dx[i + 2u] = Stored(d.z);
      dx[i + 3u] = Stored(d.w);
    }
    for (; i < end; i++) { dx[i] = Stored(f32(y[i]) * (f32(dy[i]) - along)); }
  }
}
