// y = f(a, b) of integers, with numpy broadcasting and modulo 2^32; the grid strides over the elements of y.
alias Stored = u32; // i32 for signed integers
override operation: u32 = 0u; // index into `integerOperations` of engine/ops/binary_integer.ts
struct Params { count: u32, shape: vec4u, aStrides: vec4u, bStrides: vec4u }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Stored>;
@group(0) @binding(2) var<storage, read> b: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

// Conditions, since a `switch` needs a default branch, which would compute some operation for a number without a branch.
fn apply_integer(left: Stored, right: Stored) -> Stored {
  if (operation == 0u) { return left + right; }
  if (operation == 1u) { return left - right; }
  if (operation == 2u) { return left * right; }
  if (operation == 3u) { return max(left, right); }
  if (operation == 4u) { return min(left, right); }
  return Stored(); // the operations are those of the list
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

@compute @workgroup_size(64)
fn binary_integer(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let stride = coordinates(groups.x * 64u);
  var at = coordinates(id.x);
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    y[i] = apply_integer(a[dot(at, params.aStrides)], b[dot(at, params.bStrides)]);
    at = advance(at, stride);
  }
}
