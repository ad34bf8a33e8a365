// sums[tensorOf[b]] += hash of block b of an arena (64 words), in two lanes modulo 2^32; integers have the same sum in any order.
struct Params { blocks: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4u>;
@group(0) @binding(2) var<storage, read> tensorOf: array<u32>; // of each block
@group(0) @binding(3) var<storage, read> firstBlocks: array<u32>; // of each tensor
@group(0) @binding(4) var<storage, read_write> sums: array<atomic<u32>>;

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
fn block_hash(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  for (var block = id.x; block < params.blocks; block += grid.x * 64u) {
    let tensor = tensorOf[block];
    let place = 64u * (block - firstBlocks[tensor]);
    var sum = vec2u(0u);
    for (var i = 0u; i < 16u; i++) {
      let words = x[16u * block + i];
      let first = place + 4u * i;
      sum += word_hash(words.x, first) + word_hash(words.y, first + 1u);
      sum += word_hash(words.z, first + 2u) + word_hash(words.w, first + 3u);
    }
    atomicAdd(&sums[2u * tensor], sum.x);
    atomicAdd(&sums[2u * tensor + 1u], sum.y);
  }
}
