// y[r, :] = exp(x[r, :] - m) / sum(exp(x[r, :] - m)), m the row's maximum; one invocation per row, made for software adapters.
// One pass finds maximum and sum together (arXiv 1805.02867): what was summed is rescaled when the maximum grows. Each place of an
// Element has its own maximum and sum until the end of the row.
alias Element = vec4f; // f32 where the columns are not a multiple of 4
alias Stored = vec4f; // as it lies in memory; f16 or vec4<f16> for half precision
const width = 4u; // numbers in an Element
struct Params { rows: u32, columns: u32 } // columns count Elements
const lowest = -3.4028234e38; // where maxima start: of minus infinity alone no difference could be taken
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(64)
fn softmax(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var row = id.x; row < params.rows; row += groups.x * 64u) {
    let first = row * params.columns;
    let end = first + params.columns;
    var largest = Element(lowest);
    var sum = Element();
    var i = first;
    for (; i + 4u <= end; i += 4u) {
      let a = Element(x[i]);
      let b = Element(x[i + 1u]);
      let c = Element(x[i + 2u]);
      let d = Element(x[i + 3u]);
      let next = max(largest, max(max(a, b), max(c, d)));
      sum = sum * exp(largest - next) + (exp(a - next) + exp(b - next)) + (exp(c - next) + exp(d - next));
      largest = next;
    }
    for (; i < end; i++) {
      let v = Element(x[i]);
      let next = max(largest, v);
      sum = sum * exp(largest - next) + exp(v - next);
      largest = next;
    }
    let places = vec4f(largest); // of a single number four copies, which count as one
    let top = max(max(places.x, places.y), max(places.z, places.w));
    let total = f32(width) * dot(vec4f(sum * exp(largest - top)), vec4f(1.0));
    // Where exp(NaN) is infinite the others would become 0: no sum of numbers up to 1 is that large.
    let scale = select(4.0 / total, bitcast<f32>(params.rows | 0x7fc00000u), total > 1e30);
    // Each row starts at another place: rows whose distance is a power of two would push each other out of the cache.
    let blocks = params.columns / 4u;
    var block = row % max(blocks, 1u);
    for (var turn = 0u; turn < blocks; turn++) {
      i = first + 4u * block;
      let a = scale * exp(Element(x[i]) - top);
      let b = scale * exp(Element(x[i + 1u]) - top);
      let c = scale * exp(Element(x[i + 2u]) - top);
      let d = scale * exp(Element(x[i + 3u]) - top);
      y[i] = Stored(a);
      y[i + 1u] = Stored(b);
      y[i + 2u] = Stored(c);
      y[i + 3u] = Stored(d);
      block = select(block + 1u, 0u, block + 1u == blocks);
    }
    for (i = first + 4u * blocks; i < end; i++) { y[i] = Stored(scale * exp(Element(x[i]) - top)); }
  }
}
