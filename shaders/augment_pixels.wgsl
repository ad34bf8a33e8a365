// One step of RandAugment (arXiv 1909.13719), second half: every pixel of a view, by the table of its values, by its colour, by its
// neighbours, or by a place in the view that an affine map gives (Pillow 9.4: ImageEnhance, Image.transform, bicubic with a = -1).
// Results are truncated: where f32 comes near a whole number, the value is computed again in doubles.
// SwiftShader copies a function's code to every place that calls it, so sums and products of doubles stand in loops over small
// arrays: a few places instead of sixty, which took minutes to compile.
const lanes = 256u;
// Codes of operations beyond those of tables, which end with `lastTable`.
const lastTable = 8u;
const colour = 9u;
const sharpness = 10u;
const affine = 11u;
const near = 0.01; // to a whole number, in grey levels; f32 errs by less than a tenth of it

struct Params { firstRow: u32, batch: u32, width: u32, height: u32, steps: u32, step: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> drawn: array<vec4u>; // per view and step: code, value, colour from outside, 0, and six doubles
@group(0) @binding(2) var<storage, read> tables: array<u32>; // [views * batch, 256]
@group(0) @binding(3) var<storage, read> pixels: array<u32>; // red | green << 8 | blue << 16
@group(0) @binding(4) var<storage, read_write> augmented: array<u32>;

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

fn blended_pixel(rgb: vec3u, other: vec3u, factor: f32) -> u32 {
  var result = 0u;
  for (var channel = 0u; channel < 3u; channel += 1u) {
    result |= blended(rgb[channel], other[channel], factor) << (8u * channel);
  }
  return result;
}

fn looked_up(rgb: vec3u, viewRow: u32) -> u32 {
  let table = 256u * viewRow;
  return (tables[table + rgb.x] & 0xffu) | (tables[table + rgb.y] & 0xff00u) | (tables[table + rgb.z] & 0xff0000u);
}

// Weights 1 1 1, 1 5 1, 1 1 1 of 13, rounded; pixels of the border stay.
fn smoothed(first: u32, at: vec2u) -> vec3u {
  let middle = first + at.y * params.width + at.x;
  let rgb = unpack(pixels[middle]);
  if (any(at == vec2u(0u)) || any(at + 1u == vec2u(params.width, params.height))) { return rgb; }
  var sum = 4u * rgb;
  for (var row = 0u; row < 3u; row += 1u) {
    let start = middle + row * params.width - params.width - 1u;
    for (var column = 0u; column < 3u; column += 1u) { sum += unpack(pixels[start + column]); }
  }
  return (2u * sum + 13u) / 26u;
}

// What of an axis a place lies between, in f32 and as a double.
struct Place { whole: i32, part: f32, exact: Double, isInside: bool }

fn single_of(a: Double) -> f32 {
  let exponent = exponent_of(a) - 896;
  if (exponent <= 0) { return 0.0; }
  return bitcast<f32>((a.y & 0x80000000u) | (u32(exponent) << 23u) | ((a.y & 0xfffffu) << 3u) | (a.x >> 29u));
}

// factors.x * x + factors.y * y + shift, for the centres of pixels; then half a pixel back, to where pixels count from.
fn place_on_axis(drawnAt: u32, axis: u32, at: vec2u) -> Place {
  let words = 4u * drawnAt + 4u + 6u * axis;
  var terms: array<Double, 5>; // of the sum; the last two: minus a half, minus the whole
  for (var i = 0u; i < 3u; i += 1u) {
    let word = words + 2u * i;
    terms[i] = vec2u(drawn[word / 4u][word % 4u], drawn[word / 4u][word % 4u + 1u]);
  }
  terms[3] = vec2u(0u, 0xbfe00000u);
  for (var i = 0; i < 2; i += 1) { terms[i] = multiply_doubles(terms[i], double_of_single(f32(at[i]) + 0.5)); }
  var sum = vec2u(0u);
  var below: array<i32, 5>;
  for (var i = 0; i < 5; i += 1) {
    sum = add_doubles(sum, terms[i]);
    below[i] = floor_of(sum);
    if (i == 3) { terms[4] = double_of(-below[3]); }
  }
  let length = i32(select(params.width, params.height, axis == 1u));
  return Place(below[3], single_of(sum), sum, below[2] >= 0 && below[2] < length);
}

fn cubic_between(v: vec4f, t: f32) -> f32 {
  return v.y + t * (v.z - v.x + t * (2.0 * (v.x - v.y) + v.z - v.w + t * (v.y - v.x - v.z + v.w)));
}

// By power of t, what the values are multiplied by, in the order of Pillow's sums.
const coefficients = array(vec4i(0, 1, 0, 0), vec4i(-1, 0, 1, 0), vec4i(2, -2, 1, -1), vec4i(-1, 1, -1, 1));

// Exact in any order.
fn coefficients_of_bytes(v: vec4u) -> array<Double, 4> {
  var result: array<Double, 4>;
  for (var power = 0; power < 4; power += 1) { result[power] = double_of(dot(coefficients[power], vec4i(v))); }
  return result;
}

// times * a, for 0, 1, 2, -1 and -2.
fn scaled(a: Double, times: i32) -> Double {
  if (times == 0 || is_zero(a)) { return vec2u(0u); }
  return vec2u(a.x, (a.y + ((u32(abs(times)) >> 1u) << 20u)) ^ select(0u, 0x80000000u, times < 0));
}

fn coefficients_of_doubles(v: array<Double, 4>) -> array<Double, 4> {
  var values = v;
  var result: array<Double, 4>;
  for (var i = 0; i < 16; i += 1) {
    result[i / 4] = add_doubles(result[i / 4], scaled(values[i % 4], coefficients[i / 4][i % 4]));
  }
  return result;
}

// The sum of byPower[i] * t^i.
fn polynomial(byPower: array<Double, 4>, t: Double) -> Double {
  var factors = byPower;
  var sum = vec2u(0u);
  for (var power = 3; power >= 0; power -= 1) { sum = add_doubles(factors[power], multiply_doubles(t, sum)); }
  return sum;
}

// The level between the bytes of four rows: first along each of them.
fn exact_level(rows: array<vec4u, 4>, column: Double, row: Double) -> i32 {
  var bytes = rows;
  var across: array<Double, 4>;
  for (var j = 0; j < 4; j += 1) { across[j] = polynomial(coefficients_of_bytes(bytes[j]), column); }
  return clamp(floor_of(polynomial(coefficients_of_doubles(across), row)), 0, 255);
}

fn taken_from(first: u32, column: Place, row: Place) -> u32 {
  var lines: array<vec4u, 4>; // four packed pixels of four rows
  for (var j = 0; j < 4; j += 1) {
    let start = first + u32(clamp(row.whole - 1 + j, 0, i32(params.height) - 1)) * params.width;
    for (var i = 0; i < 4; i += 1) { lines[j][i] = pixels[start + u32(clamp(column.whole - 1 + i, 0, i32(params.width) - 1))]; }
  }
  var result = 0u;
  for (var channel = 0u; channel < 3u; channel += 1u) {
    var bytes: array<vec4u, 4>;
    var across: vec4f;
    for (var j = 0; j < 4; j += 1) {
      bytes[j] = (lines[j] >> vec4u(8u * channel)) & vec4u(255u);
      across[j] = cubic_between(vec4f(bytes[j]), column.part);
    }
    let value = cubic_between(across, row.part);
    var level = i32(clamp(value, 0.0, 255.0));
    if (abs(value - round(value)) < near) { level = exact_level(bytes, column.exact, row.exact); }
    result |= u32(level) << (8u * channel);
  }
  return result;
}

// Conditions, since a `switch` needs a default branch, which would compute some operation for a number without a branch.
fn augmented_pixel(viewRow: u32, drawnAt: u32, at: vec2u) -> u32 {
  let first = viewRow * params.width * params.height;
  let packed = pixels[first + at.y * params.width + at.x];
  let code = drawn[drawnAt].x;
  if (code == 0u) { return packed; }
  let rgb = unpack(packed);
  if (code <= lastTable) { return looked_up(rgb, viewRow); }
  if (code == colour || code == sharpness) {
    var other = vec3u(grey_of(rgb));
    if (code == sharpness) { other = smoothed(first, at); }
    return blended_pixel(rgb, other, bitcast<f32>(drawn[drawnAt].y));
  }
  if (code == affine) {
    var places: array<Place, 2>;
    for (var axis = 0u; axis < 2u; axis += 1u) { places[axis] = place_on_axis(drawnAt, axis, at); }
    if (!places[0].isInside || !places[1].isInside) { return drawn[drawnAt].z; }
    return taken_from(first, places[0], places[1]);
  }
  return 0xffffffffu; // packed, all bits are set: no pixel has a fourth byte
}

@compute @workgroup_size(lanes)
fn augment_pixels(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let viewRow = group.z * params.batch + group.y;
  let drawnAt = 4u * ((params.firstRow + viewRow) * params.steps + params.step);
  let count = params.width * params.height;
  for (var i = 1024u * group.x + lane; i < min(count, 1024u * (group.x + 1u)); i += lanes) {
    augmented[viewRow * count + i] = augmented_pixel(viewRow, drawnAt, vec2u(i % params.width, i / params.width));
  }
}
