// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// Element 4 b + i is word i of the block with counter (b, 0, step, purpose) under the key `seed`; engine/core/host_random.ts computes the same.
const asBits = 0u;
const asUniform = 1u; // in [0, 1)
const asNormal = 2u;
const form = asUniform; // what the words become

struct Params { count: u32, purpose: u32, step: u32, stepIsTensor: u32, seed: vec2u }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>; // bit patterns

const roundKey = vec2u(0x9e3779b9u, 0xbb67ae85u); // the paper's Weyl constants
const inverseTwo24 = 0x1p-24f;
const halfPi = 1.5707964f;
const ln2 = 0.6931472f;

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

// ln(x) for x in (0, 1], by ln((1 + s) / (1 - s)) = 2 (s + s^3 / 3 + ...), |s| < 0.172: WGSL's own log has an absolute error that
// would show next to 1.
fn natural_log(x: f32) -> f32 {
  let word = bitcast<u32>(x);
  var exponent = i32(word >> 23u) - 127;
  var mantissa = bitcast<f32>((word & 0x7fffffu) | 0x3f800000u);
  if (mantissa > 1.4142135) {
    mantissa *= 0.5;
    exponent += 1;
  }
  let s = (mantissa - 1.0) / (mantissa + 1.0);
  let z = s * s;
  return f32(exponent) * ln2 + 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (0.2 + z * (1.0 / 7.0 + z / 9.0))));
}

// (cos, sin) of a full turn times word / 2^32, by Taylor series on an eighth of a turn: WGSL's own are only good to 2^-11.
fn turn(word: u32) -> vec2f {
  let quarter = word >> 30u;
  let part = f32((word >> 8u) & 0x3fffffu) * 0x1p-22f; // of a quarter turn
  let mirrored = part > 0.5;
  let t = halfPi * select(part, 1.0 - part, mirrored);
  let z = t * t;
  let s = t * (1.0 + z * (-1.0 / 6.0 + z * (1.0 / 120.0 + z * (-1.0 / 5040.0 + z / 362880.0))));
  let c = 1.0 + z * (-0.5 + z * (1.0 / 24.0 + z * (-1.0 / 720.0 + z / 40320.0)));
  let first = select(vec2f(c, s), vec2f(s, c), mirrored);
  let rotated = select(first, vec2f(-first.y, first.x), (quarter & 1u) == 1u);
  return select(rotated, -rotated, quarter >= 2u);
}

// Two normal numbers from two words (Box and Muller, 1958).
fn normal_pair(words: vec2u) -> vec2f {
  let radius = sqrt(max(0.0, -2.0 * natural_log((f32(words.x >> 8u) + 1.0) * inverseTwo24)));
  return radius * turn(words.y);
}

@compute @workgroup_size(64)
fn random(@builtin(global_invocation_id) thread: vec3u, @builtin(num_workgroups) groups: vec3u) {
  var now = params.step;
  if (params.stepIsTensor == 1u) { now = step[0]; }
  for (var block = thread.x; block < (params.count + 3u) / 4u; block += 64u * groups.x) {
    var words = philox(vec4u(block, 0u, now, params.purpose), params.seed);
    if (form == asUniform) {
      words = bitcast<vec4u>(vec4f(words >> vec4u(8u)) * inverseTwo24);
    } else if (form == asNormal) {
      words = bitcast<vec4u>(vec4f(normal_pair(words.xy), normal_pair(words.zw)));
    }
    for (var i = 0u; i < 4u; i += 1u) {
      if (4u * block + i < params.count) { y[4u * block + i] = words[i]; }
    }
  }
}
