// y[r, :] = exp(x[r, :] - m) / sum(exp(x[r, :] - m)), m the row's maximum; one invocation per row, made for software adapters.
// One pass finds maximum and sum together (arXiv 1805.02867): what was summed is rescaled when the maximum grows.
alias Stored = f32; // as it lies in memory; f16 for half precision
struct Params { rows: u32, columns: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

fn load4(i: u32) -> vec4f { return vec4f(f32(x[i]), f32(x[i + 1u]), f32(x[i + 2u]), f32(x[i + 3u])); }

@compute @workgroup_size(64)
fn softmax(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var row = id.x; row < params.rows; row += groups.x * 64u) {
    let first = row * params.columns;
    let end = first + params.columns;
    var largest = f32(x[first]);
    var sum = vec4f(0.0);
    var i = first;
    for (; i + 4u <= end; i += 4u) {
      let v = load4(i);
      let next = max(largest, max(max(v.x, v.y), max(v.z, v.w)));
      sum = sum * exp(largest - next) + exp(v - next);
      largest = next;
    }
    for (; i < end; i++) {
      let v = f32(x[i]);
      let next = max(largest, v);
      sum = sum * exp(largest - next) + vec4f(exp(v - next), 0.0, 0.0, 0.0);
      largest = next;
    }
    let scale = 1.0 / dot(sum, vec4f(1.0));
    i = first;
    for (; i + 4u <= end; i += 4u) {
      let e = scale * exp(load4(i) - largest);
      y[i] = Stored(e.x);
      y[i + 1u] = Stored(e.y);
      y[i + 2u] = Stored(e.z);
      y[i + 3u] = Stored(e.w);
    }
    for (; i < end; i++) { y[i] = Stored(scale * exp(f32(x[i]) - largest)); }
  }
}
