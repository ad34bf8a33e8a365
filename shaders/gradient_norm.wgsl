// The Euclidean norm from partial sums of squares, and the number of non-finite elements; one workgroup.
// A sum that overflows counts as one non-finite element.
struct Params { count: u32 } // partial results
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read> counts: array<u32>;
@group(0) @binding(3) var<storage, read_write> norm: array<f32>;
@group(0) @binding(4) var<storage, read_write> nonFinite: array<u32>;
var<workgroup> laneSums: array<f32, 64>;
var<workgroup> laneCounts: array<u32, 64>;

@compute @workgroup_size(64)
fn gradient_norm(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  var bad = 0u;
  for (var i = lane; i < params.count; i += 64u) {
    sum += sums[i];
    bad += counts[i];
  }
  laneSums[lane] = sum;
  laneCounts[lane] = bad;
  // No constant to start from: software adapters would unroll the loop, and barriers take long to compile.
  for (var stride = 32u * min(params.count, 1u); stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      laneSums[lane] += laneSums[lane + stride];
      laneCounts[lane] += laneCounts[lane + stride];
    }
  }
  if (lane == 0u) {
    let overflows = (bitcast<u32>(laneSums[0]) & 0x7f800000u) == 0x7f800000u;
    norm[0] = sqrt(laneSums[0]);
    nonFinite[0] = laneCounts[0] + select(0u, 1u, overflows);
  }
}
