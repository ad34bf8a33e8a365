// y = f(a, b) with numpy broadcasting; the grid strides over the elements of y.
alias Element = f32;
alias Stored = f32; // as it lies in memory; f16 for half precision
override operation: u32 = 0u; // index into `binaryOperations` of engine/ops/binary.ts
struct Params { count: u32, rank: u32, shape: vec4u, aStrides: vec4u, bStrides: vec4u }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Stored>;
@group(0) @binding(2) var<storage, read> b: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

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
fn binary_broadcast(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) { 
    let at = offsets(i);
    y[i] = Stored(apply(Element(a[at.x]), Element(b[at.y])));
  }
}
