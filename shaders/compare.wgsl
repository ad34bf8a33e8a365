// y = 1 where a and b compare as asked, else 0, with numpy broadcasting; the grid strides over the elements of y.
alias Stored = f32; // as a and b lie in memory; f16 for half precision, u32 or i32 for indices
override operation: u32 = 0u; // index into `comparisons` of engine/ops/compare.ts
struct Params { count: u32, shape: vec4u, aStrides: vec4u, bStrides: vec4u }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Stored>;
@group(0) @binding(2) var<storage, read> b: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

fn holds(left: Stored, right: Stored) -> bool {
  switch operation {
    case 0u: { return left == right; }
    case 1u: { return left != right; }
    case 2u: { return left < right; }
    case 3u: { return left <= right; }
    case 4u: { return left > right; }
    default: { return left >= right; }
  }
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
fn compare(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let stride = coordinates(groups.x * 64u);
  var at = coordinates(id.x);
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    y[i] = u32(holds(a[dot(at, params.aStrides)], b[dot(at, params.bStrides)]));
    at = advance(at, stride);
  }
}
