// Noise inside the boxes that random erasing (arXiv 1708.04896) draws, and 0 elsewhere: standard normal numbers, one for every
// value or one for every channel. Philox4x32-10 with the counter (place in the image, sample, step, "erase"), so that an image's
// noise does not depend on the images beside it.
const perValue = 1u; // form of an erasure
const perChannel = 2u;
const purpose = 0u; // number of "erase"

struct Params { firstRow: u32, channels: u32, height: u32, width: u32, count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> erasures: array<vec4u>; // per image: top, left, height, width; form, sample, step, 0; seed
@group(0) @binding(2) var<storage, read_write> noise: array<f32>; // [images, channels, height, width]

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

fn is_erased(box: vec4u, row: u32, column: u32) -> bool {
  return row - box.x < box.z && column - box.y < box.w; // below the box, differences wrap to large numbers
}

@compute @workgroup_size(64)
fn erase_noise(@builtin(global_invocation_id) thread: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let plane = params.height * params.width;
  let size = params.channels * plane;
  for (var i = thread.x; i < params.count; i += 64u * groups.x) {
    let place = i % size;
    let at = 3u * (params.firstRow + i / size);
    let drawn = erasures[at + 1u];
    var value = 0.0;
    if (drawn.x != 0u && is_erased(erasures[at], place % plane / params.width, place % params.width)) {
      let index = select(place / plane, place, drawn.x == perValue);
      let words = philox(vec4u(index / 2u, drawn.y, drawn.z, purpose), erasures[at + 2u].xy);
      value = normal_pair(words.xy)[index % 2u];
    }
    noise[i] = value;
  }
}
