// y = f(y, b) for operands of one shape: the form of binary.wgsl for a first operand that is not needed afterwards.
alias Element = vec4f; // f32 where the number of elements is not a multiple of 4
alias Stored = vec4f;  // as it lies in memory; f16 or vec4<f16> for half precision
override operation: u32 = 0u; // index into `binaryOperations` of engine/ops/binary.ts
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

// Conditions, since a `switch` needs a default branch, which would compute some operation for a number without a branch.
fn apply_binary(a: Element, b: Element) -> Element {
  if (operation == 0u) { return a + b; }
  if (operation == 1u) { return a - b; }
  if (operation == 2u) { return a * b; }
  if (operation == 3u) { return a / b; }
  if (operation == 4u) { return max(a, b); }
  if (operation == 5u) { return min(a, b); }
  if (operation == 6u) { return pow(a, b); }
  return Element(bitcast<f32>(params.count | 0x7fc00000u)); // NaN; of constants alone it would not compile
}

@compute @workgroup_size(64)
fn binary_in_place(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) { y[i] = Stored(apply_binary(Element(y[i]), Element(b[i]))); }
}
