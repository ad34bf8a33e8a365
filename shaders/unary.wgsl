// y = f(x), element by element; the grid strides over the elements.
alias Element = vec4f; // f32 where the number of elements is not a multiple of 4
alias Stored = vec4f;  // as it lies in memory; f16 or vec4<f16> for half precision
override operation: u32 = 0u; // index into `unaryOperations` of engine/ops/unary.ts
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

fn apply(v: Element) -> Element {
  switch operation {
    case 0u: { return exp(v); }
    case 1u: { return log(v); }
    case 2u: { return sqrt(v); }
    case 3u: { return inverseSqrt(v); }
    case 4u: { return tanh(clamp(v, Element(-10.0), Element(10.0))); } // 1 in f32 from 9.02 on; some drivers overflow beyond 44
    case 5u: { return -v; }
    case 6u: { return abs(v); }
    case 7u: { return v * v; }
    case 8u: { return 1.0 / v; }
    default: { return sign(v); }
  }
}

@compute @workgroup_size(64)
fn unary(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) { y[i] = Stored(apply(Element(x[i]))); }
}
