// sums[tensor] += hash of all words of x, in two lanes modulo 2^32; as block_hash, for a tensor of any length.
struct Params { count: u32, tensor: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> sums: array<atomic<u32>>;

// For one place every word has a value of its own in either lane: each step can be undone. A word of 0 adds nothing, as padding.
fn word_hash(word: u32, place: u32) -> vec2u {
  var key = place * 0x9e3779b1u + 0x85ebca77u;
  key = (key ^ (key >> 15u)) * 0xc2b2ae3du;
  key ^= key >> 13u;
  let other = key * 0x27d4eb2fu;
  var hash = word * vec2u(key | 1u, (other ^ (other >> 16u)) | 1u);
  hash = (hash ^ (hash >> vec2u(16u))) * vec2u(0x85ebca6bu, 0xc2b2ae35u);
  return hash ^ (hash >> vec2u(13u));
}

@compute @workgroup_size(64)
fn tensor_hash(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  var sum = vec2u(0u);
  for (var i = id.x; i < params.count; i += grid.x * 64u) { sum += word_hash(x[i], i); }
  atomicAdd(&sums[2u * params.tensor], sum.x);
  atomicAdd(&sums[2u * params.tensor + 1u], sum.y);
}
