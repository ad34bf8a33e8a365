// y = x · factor where a random number in [0, 1) is not below the rate, else x · 0. The numbers are those of random.wgsl under the same key, so
// that the gradient draws them again and no mask is kept.
alias Stored = f32; // as it lies in memory; f16 for half precision
struct Params { count: u32, purpose: u32, step: u32, stepIsTensor: u32, seed: vec2u, rate: f32, factor: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

const roundKey = vec2u(0x9e3779b9u, 0xbb67ae85u); // the paper's Weyl constants

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
    let left = wide_multiply(0xd2511f53u, c.x); // the paper's multipliers
    let right = wide_multiply(0xcd9e8d57u, c.z);
    c = vec4u(right.x ^ c.y ^ key.x, right.y, left.x ^ c.w ^ key.y, left.y);
    key += roundKey;
  }
  return c;
}

@compute @workgroup_size(64)
fn dropout(@builtin(global_invocation_id) thread: vec3u, @builtin(num_workgroups) groups: vec3u) {
  var now = params.step;
  if (params.stepIsTensor == 1u) { now = step[0]; }
  for (var block = thread.x; block < (params.count + 3u) / 4u; block += 64u * groups.x) {
    let words = philox(vec4u(block, 0u, now, params.purpose), params.seed);
    let numbers = vec4f(words >> vec4u(8u)) * 0x1p-24f;
    let factors = select(vec4f(), vec4f(params.factor), numbers >= vec4f(params.rate));
    for (var i = 0u; i < 4u; i++) {
      let at = 4u * block + i;
      if (at < params.count) { y[at] = Stored(f32(x[at]) * factors[i]); }
    }
  }
}
