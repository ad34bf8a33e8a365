// y = f(a, b) with numpy broadcasting; the grid strides over the Elements of y. Where 4 divides the last axis an Element is four
// numbers of it; an operand that repeats along it is then read one number at a time, else by fours as well.
alias Element = vec4f; // f32 where 4 does not divide the last axis
alias StoredA = vec4f; // as a, b and y lie in memory: a vector or a number of f32 or f16
alias StoredB = vec4f;
alias StoredY = vec4f;
override operation: u32 = 0u; // index into `binaryOperations` of engine/ops/binary.ts
struct Params { count: u32, shape: vec4u, aStrides: vec4u, bStrides: vec4u }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<StoredA>;
@group(0) @binding(2) var<storage, read> b: array<StoredB>;
@group(0) @binding(3) var<storage, read_write> y: array<StoredY>;

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

// Coordinates of element i: four axes, the last one fastest.
fn coordinates(i: u32) -> vec4u {
  let z = i / params.shape.w;
  let y = z / params.shape.z;
  let x = y / params.shape.y;
  return vec4u(x, y - x * params.shape.y, z - y * params.shape.z, i - z * params.shape.w);
}

// The sum of two coordinates with carries: cheaper than the divisions of `coordinates`.
fn advance(at: vec4u, by: vec4u) -> vec4u {
  let last = at.w + by.w;
  let carry = u32(last >= params.shape.w);
  let third = at.z + by.z + carry;
  let carry2 = u32(third >= params.shape.z);
  let second = at.y + by.y + carry2;
  let carry3 = u32(second >= params.shape.y);
  return vec4u(at.x + by.x + carry3, second - carry3 * params.shape.y, third - carry2 * params.shape.z, last - carry * params.shape.w);
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
fn binary_broadcast(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let stride = coordinates(groups.x * 64u);
  var at = coordinates(id.x);
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    y[i] = StoredY(apply_binary(Element(a[dot(at, params.aStrides)]), Element(b[dot(at, params.bStrides)])));
    at = advance(at, stride);
  }
}
