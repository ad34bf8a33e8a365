// count += number of elements of x that are NaN or infinite, told by their bits. Sums of integers are the same in any order.
override isHalf: bool = false; // two f16 elements per word
struct Params { count: u32 } // elements
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> total: atomic<u32>;

@compute @workgroup_size(64)
fn count_non_finite(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  var bad = 0u;
  if (isHalf) {
    for (var word = id.x; 2u * word < params.count; word += grid.x * 64u) {
      let bits = x[word];
      bad += select(0u, 1u, (bits & 0x7c00u) == 0x7c00u);
      bad += select(0u, 1u, (bits & 0x7c000000u) == 0x7c000000u && 2u * word + 1u < params.count);
    }
  } else {
    for (var i = id.x; i < params.count; i += grid.x * 64u) {
      bad += select(0u, 1u, (x[i] & 0x7f800000u) == 0x7f800000u);
    }
  }
  if (bad > 0u) { atomicAdd(&total, bad); }
}
