// choice[h, r] = min(floor(u * k), k - 1) with u in [0, 1) drawn for head h and row r: a uniform choice among the k nearest.
// Numbers are those of random.wgsl: word r % 4 of the Philox block r / 4 under the key `seed`, the head's purpose and the step.
struct Params { rows: u32, k: u32, stride: u32, seed: vec2u } // stride: elements from one head to the next
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> purposes: array<u32>; // of each head
@group(0) @binding(3) var<storage, read_write> choice: array<u32>;

const roundKey = vec2u(0x9e3779b9u, 0xbb67ae85u); // Weyl constants, see random.wgsl

// High and low word of a * b.
fn wide_multiply(a: u32, b: u32) -> vec2u {
  let middle = (a >> 16u) * (b & 0xffffu) + (((a & 0xffffu) * (b & 0xffffu)) >> 16u);
  let carried = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
  return vec2u((a >> 16u) * (b >> 16u) + (middle >> 16u) + (carried >> 16u), a * b);
}

fn philox(counter: vec4u, seed: vec2u) -> vec4u {
  var c = counter;
  var key = seed;
  for (var round = 0u; round < 10u; round += 1u) {
    let left = wide_multiply(0xd2511f53u, c.x); // constants of the paper, see random.wgsl
    let right = wide_multiply(0xcd9e8d57u, c.z);
    c = vec4u(right.x ^ c.y ^ key.x, right.y, left.x ^ c.w ^ key.y, left.y);
    key += roundKey;
  }
  return c;
}

@compute @workgroup_size(64)
fn choose_rank(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) { return; }
  let words = philox(vec4u(id.x / 4u, 0u, step[0], purposes[id.y]), params.seed);
  let uniform_number = f32(words[id.x % 4u] >> 8u) * 0x1p-24f;
  choice[id.y * params.stride + id.x] = min(u32(uniform_number * f32(params.k)), params.k - 1u);
}
