// y = f(y, s), or f(s, y) if reversed, with one number s: the form of binary_scalar.wgsl over its operand.
alias Element = vec4f; // f32 where the number of elements is not a multiple of 4
alias Stored = vec4f;  // as it lies in memory; f16 or vec4<f16> for half precision
override operation: u32 = 0u; // index into `binaryOperations` of engine/ops/binary.ts
override reversed: bool = false;
struct Params { count: u32, scalar: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<Stored>;

fn apply(a: Element, b: Element) -> Element {
  switch operation {
    case 0u: { return a + b; }
    case 1u: { return a - b; }
    case 2u: { return a * b; }
    case 3u: { return a / b; }
    case 4u: { return max(a, b); }
    case 5u: { return min(a, b); }
    default: { return pow(a, b); }
  }
}

@compute @workgroup_size(64)
fn binary_scalar_in_place(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let scalar = Element(params.scalar);
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let v = Element(y[i]);
    if (reversed) { y[i] = Stored(apply(scalar, v)); } else { y[i] = Stored(apply(v, scalar)); }
  }
}
