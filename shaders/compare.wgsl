// y = 1 where a and b compare as asked, else 0, with numpy broadcasting; the grid strides over the elements of y.
alias Stored = f32; // as a and b lie in memory; f16 for half precision, u32 or i32 for indices
override operation: u32 = 0u; // index into `comparisons` of engine/ops/compare.ts
struct Params { count: u32, rank: u32, shape: vec4u, aStrides: vec4u, bStrides: vec4u }
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

// Offsets into the operands of element i: shape and strides hold up to 4 axes, the last one fastest; a stride of 0 repeats.
fn offsets(i: u32) -> vec2u {
  var rest = i;
  var at = vec2u(0u);
  for (var axis = params.rank; axis > 0u; axis--) {
    let k = axis - 1u;
    let length = params.shape[k];
    at += (rest % length) * vec2u(params.aStrides[k], params.bStrides[k]);
    rest /= length;
  }
  return at;
}

@compute @workgroup_size(64)
fn compare(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) { 
    let at = offsets(i);
    y[i] = u32(holds(a[at.x], b[at.y]));
  }
}
