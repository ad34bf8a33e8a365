// Colour jitter of one view, with the roundings of Pillow's ImageEnhance and HSV conversion (uint8 after every operation) and
// torchvision's ColorJitter. One workgroup per (image, view): contrast needs the mean of the whole view at its place in the order.
const lanes = 256u;
// Codes in `colour.x`, one per byte, first operation lowest.
const nothing = 0u;
const brightness = 1u;
const contrast = 2u;
const saturation = 3u;
const hue = 4u;

struct Params { firstRow: u32, batch: u32, count: u32 }
struct View { crop: vec4u, scaled: vec4u, factors: vec4f, colour: vec4u, blur: vec4u }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameters: array<View>;
@group(0) @binding(2) var<storage, read> pixels: array<u32>; // red | green << 8 | blue << 16
@group(0) @binding(3) var<storage, read_write> jittered: array<u32>;
var<workgroup> partial: array<u32, lanes>;

fn unpack(rgb: u32) -> vec3u { return vec3u(rgb, rgb >> 8u, rgb >> 16u) & vec3u(255u); }

fn grey_of(rgb: vec3u) -> u32 { return (19595u * rgb.x + 38470u * rgb.y + 7471u * rgb.z + 32768u) >> 16u; } // ITU-R 601, 16 bits

// other + factor * (rgb - other), clamped and truncated.
fn blend(rgb: vec3u, other: u32, factor: f32) -> vec3u {
  let base = vec3f(f32(other));
  return vec3u(clamp(base + factor * (vec3f(rgb) - base), vec3f(0.0), vec3f(255.0)));
}

// Where 255 * hue is the whole number k, Pillow's f32 hue times 255 falls below k, and truncation gives k - 1: bit k of these words.
fn falls_below(k: u32) -> u32 {
  var words = array<u32, 8>(0xfffffffeu, 0u, 0x11000000u, 0x111u, 0x222aaaaau, 0x23232222u, 0x22222u, 0u);
  return (words[(k / 32u) % 8u] >> (k % 32u)) & 1u;
}

// 255 times the hue, Pillow's convert("HSV"); `most` and `spread` are the largest channel and its distance to the least, not 0.
fn hue_of(rgb: vec3u, most: u32, spread: u32) -> u32 {
  let channel = vec3i(rgb);
  let turn = i32(6u * spread);
  var numerator = channel.y - channel.z; // in units of 1 / (6 * spread)
  if (rgb.x != most) {
    numerator = select(4 * i32(spread) + channel.x - channel.y, 2 * i32(spread) + channel.z - channel.x, rgb.y == most);
  }
  let scaled = 255u * u32(select(numerator, numerator + turn, numerator < 0));
  let whole = scaled / u32(turn);
  return whole - select(0u, falls_below(whole), scaled % u32(turn) == 0u);
}

// value * (1 - part / 255^2), rounded; there are no ties because 255^2 is odd.
fn darken(value: u32, part: u32) -> u32 { return (2u * value * (65025u - part) + 65025u) / 130050u; }

// RGB to HSV in uint8, the hue moved by `shift`, and back.
fn shift_hue(rgb: vec3u, shift: u32) -> vec3u {
  let value = max(rgb.x, max(rgb.y, rgb.z));
  let spread = value - min(rgb.x, min(rgb.y, rgb.z));
  if (spread == 0u) { return rgb; }
  let colourfulness = 255u * spread / value;
  let sixths = 6u * ((hue_of(rgb, value, spread) + shift) & 255u);
  let part = sixths % 255u;
  let p = darken(value, 255u * colourfulness);
  let q = darken(value, colourfulness * part);
  let t = darken(value, colourfulness * (255u - part));
  let sector = (sixths / 255u) % 6u;
  if (sector == 0u) { return vec3u(value, t, p); }
  if (sector == 1u) { return vec3u(q, value, p); }
  if (sector == 2u) { return vec3u(p, value, t); }
  if (sector == 3u) { return vec3u(p, q, value); }
  if (sector == 4u) { return vec3u(t, p, value); }
  return vec3u(value, p, q); // 5, the last remainder
}

// Conditions, since a `switch` needs a default branch, which would compute some operation for a number without a branch.
fn apply_jitter(operation: u32, rgb: vec3u, view: View, mean: u32) -> vec3u {
  if (operation == nothing) { return rgb; }
  if (operation == brightness) { return blend(rgb, 0u, view.factors.x); }
  if (operation == contrast) { return blend(rgb, mean, view.factors.y); }
  if (operation == saturation) { return blend(rgb, grey_of(rgb), view.factors.z); }
  if (operation == hue) { return shift_hue(rgb, view.colour.y); }
  return vec3u(0xffffffffu); // packed, all bits are set: no pixel has a fourth byte
}

fn operation_at(order: u32, place: u32) -> u32 { return (order >> (8u * place)) & 255u; }

@compute @workgroup_size(lanes)
fn views_jitter(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let viewRow = group.y * params.batch + group.x;
  let view = parameters[params.firstRow + viewRow];
  let order = view.colour.x;
  let first = viewRow * params.count;

  var contrastPlace = 0u;
  while (contrastPlace < 4u && operation_at(order, contrastPlace) != contrast) { contrastPlace += 1u; }
  var mean = 0u;
  // The first round takes the mean of what contrast will see, the second makes the result.
  for (var round = select(1u, 0u, contrastPlace < 4u); round < 2u; round += 1u) {
    let places = select(contrastPlace, 4u, round == 1u);
    var sum = 0u; // of at most 2^24 pixels
    for (var i = lane; i < params.count; i += lanes) {
      var rgb = unpack(pixels[first + i]);
      for (var place = 0u; place < places; place += 1u) { rgb = apply_jitter(operation_at(order, place), rgb, view, mean); }
      if (round == 1u) {
        jittered[first + i] = rgb.x | (rgb.y << 8u) | (rgb.z << 16u);
      } else {
        sum += grey_of(rgb);
      }
    }
    if (round == 1u) { break; }
    partial[lane] = sum;
    // No constant to start from: software adapters would unroll the loop, and barriers take long to compile.
    for (var stride = lanes / 2u * min(params.count, 1u); stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) { partial[lane] += partial[lane + stride]; }
    }
    workgroupBarrier();
    mean = (partial[0] + params.count / 2u) / params.count; // rounded half up
  }
}
