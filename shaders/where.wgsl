// y = a where mask is not 0, else b, with numpy broadcasting; the grid strides over the elements of y.
alias Stored = f32; // as a and b lie in memory; f16, u32 or i32
struct Params { count: u32, rank: u32, shape: vec4u, maskStrides: vec4u, aStrides: vec4u, bStrides: vec4u }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read> a: array<Stored>;
@group(0) @binding(3) var<storage, read> b: array<Stored>;
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;

// Offsets into the operands of element i: shape and strides hold up to 4 axes, the last one fastest; a stride of 0 repeats.
fn offsets(i: u32) -> vec3u {
  var rest = i;
  var at = vec3u(0u);
  for (var axis = params.rank; axis > 0u; axis--) {
    let k = axis - 1u;
    let length = params.shape[k];
    at += (rest % length) * vec3u(params.maskStrides[k], params.aStrides[k], params.bStrides[k]);
    rest /= length;
  }
  return at;
}

@compute @workgroup_size(64)
fn where_nonzero(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let at = offsets(i);
    if (mask[at.x] != 0u) { y[i] = a[at.y]; } else { y[i] = b[at.z]; }
  }
}
