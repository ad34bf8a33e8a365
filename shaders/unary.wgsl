// y = f(x), element by element; the grid strides over the elements.
alias Element = vec4f; // f32 where the number of elements is not a multiple of 4
alias Stored = vec4f;  // as it lies in memory; f16 or vec4<f16> for half precision
override operation: u32 = 0u; // index into `unaryOperations` of engine/ops/unary.ts
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

// As the C library has it, also where WGSL leaves it open: not above 0.
fn logarithm(v: Element) -> Element {
  let unknown = Element(bitcast<f32>(params.count | 0x7fc00000u)); // NaN
  let infinite = Element(bitcast<f32>(min(params.count, 0u) | 0x7f800000u));
  let y = select(log(v), v, !(v < infinite));
  return select(select(y, -infinite, v == Element(0.0)), unknown, v < Element(0.0));
}

// Conditions, since a `switch` needs a default branch, which would compute some operation for a number without a branch.
fn apply_unary(v: Element) -> Element {
  if (operation == 0u) { return select(exp(v), v, !(v == v)); } // some drivers give infinity of NaN
  if (operation == 1u) { return logarithm(v); }
  if (operation == 2u) { return sqrt(v); }
  if (operation == 3u) { return inverseSqrt(v); }
  if (operation == 4u) { return select(tanh(clamp(v, Element(-10.0), Element(10.0))), v, !(v == v)); } // 1 in f32 from 9.02 on; some drivers overflow beyond 44
  if (operation == 5u) { return -v; }
  if (operation == 6u) { return abs(v); }
  if (operation == 7u) { return v * v; }
  if (operation == 8u) { return 1.0 / v; }
  if (operation == 9u) { return sign(v); }
  return Element(bitcast<f32>(params.count | 0x7fc00000u)); // NaN; of constants alone it would not compile
}

@compute @workgroup_size(64)
fn unary(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) { y[i] = Stored(apply_unary(Element(x[i]))); }
}
