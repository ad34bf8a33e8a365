// Per workgroup: the sum of the squares of the finite elements it strides over, and the number of the others.
// NaN and infinities are told by their bits, since compilers may assume that they do not occur.
struct Params { count: u32, firstPartial: u32 } // vec4s; where this tensor's partial results begin
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<storage, read_write> counts: array<u32>;
var<workgroup> laneSums: array<f32, 64>;
var<workgroup> laneCounts: array<u32, 64>;

@compute @workgroup_size(64)
fn sum_squares(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  var sum = vec4f();
  var bad = vec4u();
  for (var i = group.x * 64u + lane; i < params.count; i += grid.x * 64u) {
    let bits = x[i];
    let isBad = (bits & vec4u(0x7f800000u)) == vec4u(0x7f800000u);
    let value = bitcast<vec4f>(select(bits, vec4u(), isBad));
    sum += value * value;
    bad += select(vec4u(), vec4u(1u), isBad);
  }
  laneSums[lane] = (sum.x + sum.y) + (sum.z + sum.w);
  laneCounts[lane] = bad.x + bad.y + bad.z + bad.w;
  // No constant to start from: software adapters would unroll the loop, and barriers take long to compile.
  for (var stride = 32u * min(params.count, 1u); stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      laneSums[lane] += laneSums[lane + stride];
      laneCounts[lane] += laneCounts[lane + stride];
    }
  }
  if (lane == 0u) {
    sums[params.firstPartial + group.x] = laneSums[0];
    counts[params.firstPartial + group.x] = laneCounts[0];
  }
}
