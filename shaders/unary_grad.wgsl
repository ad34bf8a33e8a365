// dx = dy f'(x) with f' written in the kept tensor: x itself, or y = f(x) where that is cheaper. The grid strides over the elements.
alias Element = vec4f; // f32 where the number of elements is not a multiple of 4
alias Stored = vec4f;  // as it lies in memory; f16 or vec4<f16> for half precision
override operation: u32 = 0u; // index into `unaryOperations` of engine/ops/unary.ts
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> kept: array<Stored>;
@group(0) @binding(2) var<storage, read> dy: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

// Conditions, since a `switch` needs a default branch, which would compute some operation for a number without a branch.
fn slope(v: Element) -> Element {
  if (operation == 0u) { return v; }                // exp, of y
  if (operation == 1u) { return 1.0 / v; }          // log, of x
  if (operation == 2u) { return 0.5 / v; }          // sqrt, of y
  if (operation == 3u) { return -0.5 * v * v * v; } // rsqrt, of y
  if (operation == 4u) { return 1.0 - v * v; }      // tanh, of y
  if (operation == 5u) { return Element(-1.0); }    // neg
  if (operation == 6u) { return sign(v); }          // abs, of x
  if (operation == 7u) { return 2.0 * v; }          // square, of x
  if (operation == 8u) { return -v * v; }           // reciprocal, of y
  if (operation == 9u) { return Element(0.0); }     // sign
  return Element(bitcast<f32>(params.count | 0x7fc00000u)); // NaN; of constants alone it would not compile
}

@compute @workgroup_size(64)
fn unary_grad(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    dx[i] = Stored(Element(dy[i]) * slope(Element(kept[i])));
  }
}
