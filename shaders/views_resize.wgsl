// Crop, antialiased resize and mirror of one 16 x 16 tile of one view, with the fixed-point weights and the two roundings of
// Pillow's `resize` (columns first, then rows; Image.resize, Pillow 9.4). One workgroup per (tile, image, view).
// Positions are kept as exact integers in units of 1 / (2 * scaled) source pixels, so that f32 loses nothing on large images.
const channels = 3u; // bytes per pixel of the images, 1 or 3
const side = 16u; // of a tile
const chunk = 64u; // source rows held at a time
const weightBits = 22u; // fixed-point weights of Pillow
const half = 1 << 21u;

struct Params { firstRow: u32, batch: u32, width: u32, height: u32, support: u32 }
struct View { crop: vec4u, scaled: vec4u, factors: vec4f, colour: vec4u, blur: vec4u }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> images: array<u32>;
@group(0) @binding(2) var<storage, read> placement: array<vec4u>; // byte offset, width, height, unused
@group(0) @binding(3) var<storage, read> parameters: array<View>;
@group(0) @binding(4) var<storage, read_write> pixels: array<u32>; // red | green << 8 | blue << 16
var<workgroup> narrowed: array<u32, side * chunk>; // source rows, resized to the tile's columns

// How one position of one axis is made of source pixels.
struct Taps {
  first: i32,
  end: i32,
  distance: i32, // of the first one to the position, in units of 1 / `unit` kernel widths
  step: i32, // from one to the next
  unit: f32,
  sum: f32, // of the weights
  scale: f32, // 2^22 / sum
}

// Weight before normalisation: a = -0.5 cubic (support 2), or `unit` times a triangle (support 1), stretched when shrinking.
fn kernel_weight(distance: i32, unit: f32) -> f32 {
  if (params.support == 1u) { return max(0.0, unit - abs(f32(distance))); } // a whole number
  let x = abs(f32(distance)) / unit; // a quotient: exact for halves and quarters, so that ties stay ties
  let near = (1.5 * x - 2.5) * x * x + 1.0;
  let far = -0.5 * (((x - 5.0) * x + 8.0) * x - 4.0);
  return select(select(0.0, far, x < 2.0), near, x < 1.0);
}

// `size` source pixels become `scaled`.
fn taps_of(size: i32, scaled: i32, position: i32) -> Taps {
  let widest = max(size, scaled);
  let center = (2 * position + 1) * size;
  let reach = 2 * i32(params.support) * widest;
  let first = min(max(0, center - reach + scaled) / (2 * scaled), size - 1);
  let end = min(size, (center + reach + scaled) / (2 * scaled));
  let distance = (2 * first + 1) * scaled - center;
  return Taps(first, end, distance, 2 * scaled, f32(2 * widest), 1.0, 1.0);
}

fn normalised_taps(taps: Taps) -> Taps {
  var sum = 0.0;
  for (var tap = 0; tap < taps.end - taps.first; tap += 1) {
    sum += kernel_weight(taps.distance + tap * taps.step, taps.unit);
  }
  var result = taps;
  result.sum = sum;
  result.scale = f32(1u << weightBits) / sum;
  return result;
}

fn fixed_weight(taps: Taps, distance: i32) -> i32 {
  let raw = kernel_weight(distance, taps.unit);
  // Sums of triangle weights are often exact halves, which only exact weights round as Pillow does: a division in two parts.
  if (params.support == 1u && taps.sum < 0x1p20f) {
    let sum = u32(taps.sum);
    let upper = u32(raw) << 11u;
    return i32(((upper / sum) << 11u) + (((upper % sum) << 11u) + sum / 2u) / sum);
  }
  let weight = raw * taps.scale;
  return i32(weight + select(0.5, -0.5, weight < 0.0)); // rounds half away from zero
}

fn unpack_signed(rgb: u32) -> vec3i { return vec3i(vec3u(rgb, rgb >> 8u, rgb >> 16u) & vec3u(255u)); }

fn pack(sum: vec3i) -> u32 {
  let rgb = vec3u(clamp(sum >> vec3u(weightBits), vec3i(0), vec3i(255)));
  return rgb.x | (rgb.y << 8u) | (rgb.z << 16u);
}

fn image_word(index: u32) -> u32 { return images[min(index, arrayLength(&images) - 1u)]; }

// One output column of one source row, whose first contributing pixel lies at `firstByte`.
fn narrow(taps: Taps, firstByte: u32) -> u32 {
  var sum = vec3i(half);
  var at = firstByte;
  var word = image_word(at / 4u);
  var distance = taps.distance;
  for (var tap = taps.first; tap < taps.end; tap += 1) {
    let shift = 8u * (at % 4u);
    var rgb = word >> shift;
    at += channels;
    if (shift + 8u * channels >= 32u) { // the pixel ends in the next word, or just before it
      word = image_word(at / 4u);
      if (shift + 8u * channels > 32u) { rgb |= word << (32u - shift); }
    }
    if (channels == 1u) { rgb = (rgb & 255u) * 0x10101u; }
    sum += fixed_weight(taps, distance) * unpack_signed(rgb);
    distance += taps.step;
  }
  return pack(sum);
}

@compute @workgroup_size(256)
fn views_resize(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tilesAcross = (params.width + side - 1u) / side;
  let corner = side * vec2u(group.x % tilesAcross, group.x / tilesAcross);
  let viewRow = group.z * params.batch + group.y;
  let view = parameters[params.firstRow + viewRow];
  let image = placement[group.y];
  let last = vec2u(params.width, params.height) - 1u;
  let local = vec2u(lane % side, lane / side);
  let pixel = min(corner + local, last); // threads beyond the view repeat its last pixels

  let columns = normalised_taps(taps_of(i32(view.crop.z), i32(view.scaled.x), i32(pixel.x + view.scaled.z)));
  let size = i32(view.crop.w);
  let scaled = i32(view.scaled.y);
  let rows = normalised_taps(taps_of(size, scaled, i32(pixel.y + view.scaled.w)));
  let firstTap = taps_of(size, scaled, i32(corner.y + view.scaled.w)).first;
  let endTap = taps_of(size, scaled, i32(min(corner.y + side - 1u, last.y) + view.scaled.w)).end;
  let left = view.crop.x + u32(columns.first);

  var sum = vec3i(half);
  for (var start = firstTap; start < endTap; start += i32(chunk)) {
    let end = min(start + i32(chunk), endTap);
    for (var y = start + i32(local.y); y < end; y += i32(side)) {
      let firstByte = image.x + channels * ((view.crop.y + u32(y)) * image.y + left);
      narrowed[u32(y - start) * side + local.x] = narrow(columns, firstByte);
    }
    workgroupBarrier();
    for (var tap = max(start, rows.first); tap < min(end, rows.end); tap += 1) {
      let weight = fixed_weight(rows, rows.distance + (tap - rows.first) * rows.step);
      sum += weight * unpack_signed(narrowed[u32(tap - start) * side + local.x]);
    }
    workgroupBarrier();
  }
  if (all(corner + local <= last)) {
    let shown = select(pixel.x, last.x - pixel.x, view.blur.w == 1u); // mirrored
    pixels[(viewRow * params.height + pixel.y) * params.width + shown] = pack(sum);
  }
}
