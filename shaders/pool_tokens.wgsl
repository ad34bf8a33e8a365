// y[r, :] = mean of the rows first … first + count - 1 of x, with (first, count) = spans[r]; one invocation per element.
alias Stored = f32; // token rows in memory: f32 or f16; pooled features are f32
struct Params { rows: u32, columns: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> spans: array<vec2u>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn pool_tokens(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let count = params.rows * params.columns;
  for (var at = id.x; at < count; at += groups.x * 64u) {
    let span = spans[at / params.columns];
    let column = at % params.columns;
    var sum = 0.0;
    for (var t = 0u; t < span.y; t++) { sum += f32(x[(span.x + t) * params.columns + column]); }
    y[at] = sum / f32(span.y);
  }
}
