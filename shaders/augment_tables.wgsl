// One step of RandAugment (arXiv 1909.13719), first half: what changes each value of a view by itself, as a table of 256 colours.
// One workgroup per (image, view), because four operations need the values of the whole view. Integers and doubles as Pillow 9.4
// computes with (ImageOps, ImageEnhance): every result is truncated, so that one next to a whole number must fall on its side.
const lanes = 256u;
// Codes of operations.
const autoContrast = 1u;
const equalise = 2u;
const invert = 3u;
const posterise = 4u;
const solarise = 5u;
const solariseAdd = 6u;
const contrast = 7u;
const brightness = 8u;

struct Params { firstRow: u32, batch: u32, count: u32, steps: u32, step: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> drawn: array<vec4u>; // per view and step: code, value, colour from outside, 0, and six doubles
@group(0) @binding(2) var<storage, read> pixels: array<u32>; // red | green << 8 | blue << 16
@group(0) @binding(3) var<storage, read_write> tables: array<u32>; // [views * batch, 256]
var<workgroup> counts: array<atomic<u32>, 768>; // of each value of each channel
var<workgroup> greySum: atomic<u32>; // of at most 2^24 pixels
var<workgroup> low: array<u32, 3>;
var<workgroup> high: array<u32, 3>;

// Doubles (IEEE 754 binary64) in two words, low and high, with a processor's roundings: no infinities, NaN or subnormal numbers.
alias Double = vec2u;

// High and low word of a * b.
fn wide_multiply(a: u32, b: u32) -> vec2u {
  let middle = (a >> 16u) * (b & 0xffffu) + (((a & 0xffffu) * (b & 0xffffu)) >> 16u);
  let carried = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
  return vec2u((a >> 16u) * (b >> 16u) + (middle >> 16u) + (carried >> 16u), a * b);
}

fn add_words(a: vec2u, b: vec2u) -> vec2u {
  let low = a.x + b.x;
  return vec2u(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn subtract_words(a: vec2u, b: vec2u) -> vec2u { return vec2u(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x)); }

fn shift_left(a: vec2u, bits: u32) -> vec2u {
  if (bits == 0u) { return a; }
  if (bits >= 32u) { return vec2u(0u, a.x << (bits - 32u)); }
  return vec2u(a.x << bits, (a.y << bits) | (a.x >> (32u - bits)));
}

fn shift_right(a: vec2u, bits: u32) -> vec2u {
  if (bits == 0u) { return a; }
  if (bits >= 32u) { return vec2u(select(a.y >> (bits - 32u), 0u, bits >= 64u), 0u); }
  return vec2u((a.x >> bits) | (a.y << (32u - bits)), a.y >> bits);
}

// What falls off below is kept in the lowest bit.
fn shift_right_sticky(a: vec2u, bits: u32) -> vec2u {
  if (bits == 0u) { return a; }
  let kept = shift_right(a, bits);
  let lost = select(shift_left(a, 64u - min(bits, 63u)), a, bits >= 64u);
  return vec2u(kept.x | select(0u, 1u, any(lost != vec2u(0u))), kept.y);
}

// The 53 bits of the significand.
fn significand(a: Double) -> vec2u { return vec2u(a.x, (a.y & 0xfffffu) | 0x100000u); }

fn exponent_of(a: Double) -> i32 { return i32((a.y >> 20u) & 0x7ffu); }

// bits * 2^(exponent - 1023 - 61), rounded to the nearest double, ties to even.
fn rounded_double(sign: u32, exponent: i32, bits: vec2u) -> Double {
  if (all(bits == vec2u(0u))) { return vec2u(0u); }
  let above = i32(countLeadingZeros(bits.y)) + select(0, i32(countLeadingZeros(bits.x)), bits.y == 0u);
  let up = above - 2; // the highest bit comes to place 61
  let placed = select(shift_right_sticky(bits, u32(max(-up, 0))), shift_left(bits, u32(max(up, 0))), up > 0);
  let tail = placed.x & 511u;
  var kept = vec2u((placed.x >> 9u) | (placed.y << 23u), placed.y >> 9u);
  if (tail > 256u || (tail == 256u && (kept.x & 1u) == 1u)) { kept = add_words(kept, vec2u(1u, 0u)); }
  // The hidden bit, and a carry into it, add to the exponent.
  return vec2u(kept.x, (u32(exponent - up - 1) << 20u) + kept.y + sign);
}

fn negate(a: Double) -> Double { return vec2u(a.x, a.y ^ 0x80000000u); }

fn is_zero(a: Double) -> bool { return a.x == 0u && (a.y & 0x7fffffffu) == 0u; }

fn add_doubles(first: Double, second: Double) -> Double {
  if (is_zero(second)) { return first; }
  if (is_zero(first)) { return second; }
  let magnitudes = vec2u(first.y & 0x7fffffffu, second.y & 0x7fffffffu);
  let swapped = magnitudes.x < magnitudes.y || (magnitudes.x == magnitudes.y && first.x < second.x);
  let a = select(first, second, swapped);
  let b = select(second, first, swapped);
  let larger = shift_left(significand(a), 9u);
  let smaller = shift_right_sticky(shift_left(significand(b), 9u), u32(exponent_of(a) - exponent_of(b)));
  let isSum = ((a.y ^ b.y) & 0x80000000u) == 0u;
  let bits = select(subtract_words(larger, smaller), add_words(larger, smaller), isSum);
  return rounded_double(a.y & 0x80000000u, exponent_of(a), bits);
}

fn multiply_doubles(a: Double, b: Double) -> Double {
  if (is_zero(a) || is_zero(b)) { return vec2u(0u); }
  let x = significand(a);
  let y = significand(b);
  let lowest = wide_multiply(x.x, y.x); // high, low
  let crossed = wide_multiply(x.x, y.y);
  let other = wide_multiply(x.y, y.x);
  let highest = wide_multiply(x.y, y.y);
  let middle = add_words(add_words(crossed.yx, other.yx), vec2u(lowest.x, 0u)); // in units of 2^32, at most 55 bits
  let upper = add_words(highest.yx, vec2u(middle.y, 0u)); // in units of 2^64
  // Bits 43 to 106 of the product; below them a sticky bit.
  let kept = vec2u((middle.x >> 11u) | (upper.x << 21u), (upper.x >> 11u) | (upper.y << 21u));
  let lost = lowest.y | (middle.x & 0x7ffu);
  let bits = vec2u(kept.x | select(0u, 1u, lost != 0u), kept.y);
  return rounded_double((a.y ^ b.y) & 0x80000000u, exponent_of(a) + exponent_of(b) - 1023, bits);
}

// The largest whole number that is not above; of at most 30 bits.
fn floor_of(a: Double) -> i32 {
  let exponent = exponent_of(a) - 1023;
  let isNegative = a.y >= 0x80000000u;
  if (exponent < 0) { return select(0, -1, isNegative && !is_zero(a)); }
  let whole = i32(shift_right(significand(a), u32(52 - exponent)).x);
  let fraction = shift_left(significand(a), u32(12 + exponent));
  return select(whole, -whole - select(0, 1, any(fraction != vec2u(0u))), isNegative);
}

// As a double again.
fn rounded_to_single(a: Double) -> Double {
  let tail = a.x & 0x1fffffffu;
  let kept = vec2u(a.x & 0xe0000000u, a.y);
  let up = tail > 0x10000000u || (tail == 0x10000000u && (a.x & 0x20000000u) != 0u);
  return add_words(kept, vec2u(select(0u, 0x20000000u, up), 0u));
}

fn double_of_single(value: f32) -> Double {
  let bits = bitcast<u32>(value);
  if ((bits & 0x7fffffffu) == 0u) { return vec2u(0u); }
  return vec2u(bits << 29u, (bits & 0x80000000u) | (((bits >> 3u) & 0xfffffffu) + (896u << 20u)));
}

// Of less than 2^24, which f32 holds.
fn double_of(value: i32) -> Double { return double_of_single(f32(value)); }

// other + factor * (value - other) in f32, clamped and truncated, as Pillow's Image.blend.
fn blended(value: u32, other: u32, factor: f32) -> u32 {
  let product = rounded_to_single(multiply_doubles(double_of(i32(value) - i32(other)), double_of_single(factor)));
  return u32(clamp(floor_of(rounded_to_single(add_doubles(double_of(i32(other)), product))), 0, 255));
}

fn unpack(rgb: u32) -> vec3u { return vec3u(rgb, rgb >> 8u, rgb >> 16u) & vec3u(255u); }

fn grey_of(rgb: vec3u) -> u32 { return (19595u * rgb.x + 38470u * rgb.y + 7471u * rgb.z + 32768u) >> 16u; } // ITU-R 601, 16 bits

// 255 / divisor, for 1 to 255.
fn quotient_of_255(divisor: u32) -> Double {
  var quotient = vec2u(255u / divisor, 0u);
  var rest = 255u % divisor;
  for (var bit = 0u; bit < 54u; bit += 1u) {
    rest *= 2u;
    let fits = rest >= divisor;
    quotient = shift_left(quotient, 1u) | vec2u(select(0u, 1u, fits), 0u);
    rest -= select(0u, divisor, fits);
  }
  return rounded_double(0u, 1030, quotient | vec2u(select(0u, 1u, rest != 0u), 0u));
}

fn stretched(value: u32, channel: u32) -> u32 {
  if (high[channel] <= low[channel]) { return value; }
  let scale = quotient_of_255(high[channel] - low[channel]);
  let offset = multiply_doubles(double_of(i32(low[channel])), scale);
  return u32(clamp(floor_of(add_doubles(multiply_doubles(double_of(i32(value)), scale), negate(offset))), 0, 255));
}

fn equalised(value: u32, channel: u32) -> u32 {
  let width = (params.count - atomicLoad(&counts[256u * channel + high[channel]])) / 255u;
  if (width == 0u || high[channel] == low[channel]) { return value; }
  var below = width / 2u;
  for (var other = 0u; other < value; other += 1u) { below += atomicLoad(&counts[256u * channel + other]); }
  return min(255u, below / width);
}

// Conditions, since a `switch` needs a default branch, which would compute some operation for a number without a branch.
fn changed(code: u32, amount: u32, value: u32, channel: u32, mean: u32) -> u32 {
  if (code == autoContrast) { return stretched(value, channel); }
  if (code == equalise) { return equalised(value, channel); }
  if (code == invert) { return 255u - value; }
  if (code == posterise) { return value & ~(255u >> amount); } // bits that stay
  if (code == solarise) { return select(255u - value, value, value < amount); }
  if (code == solariseAdd) { return select(value, min(255u, value + amount), value < 128u); }
  if (code == contrast || code == brightness) { return blended(value, select(0u, mean, code == contrast), bitcast<f32>(amount)); }
  return 0xffffffffu; // no value of a channel
}

@compute @workgroup_size(lanes)
fn augment_tables(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let viewRow = group.y * params.batch + group.x;
  let drawnStep = drawn[4u * ((params.firstRow + viewRow) * params.steps + params.step)];
  let code = drawnStep.x;
  if (code < autoContrast || code > brightness) { return; }
  let first = viewRow * params.count;
  for (var i = lane; i < params.count; i += lanes) {
    let rgb = unpack(pixels[first + i]);
    for (var channel = 0u; channel < 3u; channel += 1u) { atomicAdd(&counts[256u * channel + rgb[channel]], 1u); }
    atomicAdd(&greySum, grey_of(rgb));
  }
  workgroupBarrier();
  if (lane < 3u) {
    var least = 0u;
    while (least < 255u && atomicLoad(&counts[256u * lane + least]) == 0u) { least += 1u; }
    var most = 255u;
    while (most > least && atomicLoad(&counts[256u * lane + most]) == 0u) { most -= 1u; }
    low[lane] = least;
    high[lane] = most;
  }
  workgroupBarrier();
  let mean = (atomicLoad(&greySum) + params.count / 2u) / params.count; // rounded half up
  var result = 0u;
  for (var channel = 0u; channel < 3u; channel += 1u) {
    result |= changed(code, drawnStep.y, lane, channel, mean) << (8u * channel);
  }
  tables[256u * viewRow + lane] = result;
}
