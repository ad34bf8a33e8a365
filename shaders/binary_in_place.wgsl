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
  // Adapters choose what max and min give of 0 and -0, or beside NaN, which passes here from either side.
  if (operation == 4u) { return select(select(b, a, a >= b), a, !(a == a)); }
  if (operation == 5u) { return select(select(b, a, a <= b), a, !(a == a)); }
  if (operation == 6u) { return power(a, b); }
  return Element(bitcast<f32>(params.count | 0x7fc00000u)); // NaN; of constants alone it would not compile
}

// a^b as the C library has it: also for negative bases, where b has to be an integer, at 0 and at infinity. Other places are left to pow.
fn power(a: Element, b: Element) -> Element {
  let unknown = Element(bitcast<f32>(params.count | 0x7fc00000u)); // NaN
  let zero = Element(0.0);
  let base = abs(a);
  var y = select(pow(base, b), 1.0 / base, (base == zero) & (b < zero));
  y = select(y, zero, (base == zero) & (b > zero));
  y = select(y, base, base == Element(1.0)); // pow may fail at infinity
  let whole = floor(b) == b;
  let odd = whole & (floor(b * 0.5) != b * 0.5);
  y = select(y, -y, odd & ((a < zero) | ((a == zero) & (1.0 / a < zero))));
  y = select(y, unknown, (a < zero) & !whole & (base <= Element(3.4028234e38)));
  y = select(y, a, b == Element(1.0));
  y = select(y, a * a, b == Element(2.0)); // exact on every adapter
  y = select(y, a + b, !(a == a) | !(b == b));
  return select(y, Element(1.0), (b == zero) | (a == Element(1.0)));
}

@compute @workgroup_size(64)
fn binary_in_place(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) { y[i] = Stored(apply_binary(Element(y[i]), Element(b[i]))); }
}
