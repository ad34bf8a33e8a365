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

// One axis of the resize: `size` source pixels become `scaled`.
struct Axis { size: i32, scaled: i32, widest: i32 }

// Source pixels [x, y) that contribute to a position.
fn taps(axis: Axis, position: i32) -> vec2i {
  let center = (2 * position + 1) * axis.size;
  let reach = 2 * i32(params.support) * axis.widest;
  let first = max(0, center - reach + axis.scaled) / (2 * axis.scaled);
  let end = min(axis.size, (center + reach + axis.scaled) / (2 * axis.scaled));
  return vec2i(min(first, axis.size - 1), end);
}

// Weight of a source pixel before normalisation: a = -0.5 cubic (support 2) or triangle (support 1), stretched when shrinking.
fn kernel_weight(axis: Axis, position: i32, tap: i32) -> f32 {
  let distance = (2 * tap + 1) * axis.scaled - (2 * position + 1) * axis.size;
  let x = f32(abs(distance)) / f32(2 * axis.widest);
  if (params.support == 1u) { return max(0.0, 1.0 - x); }
  let near = (1.5 * x - 2.5) * x * x + 1.0;
  let far = -0.5 * (((x - 5.0) * x + 8.0) * x - 4.0);
  return select(select(0.0, far, x < 2.0), near, x < 1.0);
}

// 2^22 / (sum of the weights of a position).
fn fixed_scale(axis: Axis, position: i32, range: vec2i) -> f32 {
  var sum = 0.0;
  for (var tap = range.x; tap < range.y; tap += 1) { sum += kernel_weight(axis, position, tap); }
  return f32(1u << weightBits) / sum;
}

fn fixed_weight(axis: Axis, position: i32, tap: i32, scale: f32) -> i32 {
  let weight = kernel_weight(axis, position, tap) * scale;
  return i32(weight + select(0.5, -0.5, weight < 0.0)); // rounds half away from zero
}

fn unpack(rgb: u32) -> vec3i { return vec3i(vec3u(rgb, rgb >> 8u, rgb >> 16u) & vec3u(255u)); }

fn pack(sum: vec3i) -> u32 {
  let rgb = vec3u(clamp(sum >> vec3u(weightBits), vec3i(0), vec3i(255)));
  return rgb.x | (rgb.y << 8u) | (rgb.z << 16u);
}

fn image_word(index: u32) -> u32 { return images[min(index, arrayLength(&images) - 1u)]; }

// One output column of one source row, whose first contributing pixel lies at `firstByte`.
fn narrow(axis: Axis, position: i32, range: vec2i, scale: f32, firstByte: u32) -> u32 {
  var sum = vec3i(half);
  var at = firstByte;
  var word = image_word(at / 4u);
  for (var tap = range.x; tap < range.y; tap += 1) {
    let shift = 8u * (at % 4u);
    var rgb = word >> shift;
    if (channels == 1u) {
      rgb = (rgb & 255u) * 0x10101u;
      if (shift == 24u) { word = image_word(at / 4u + 1u); }
    } else if (shift >= 8u) { // the pixel ends in the next word, or just before it
      word = image_word(at / 4u + 1u);
      if (shift > 8u) { rgb |= word << (32u - shift); }
    }
    sum += fixed_weight(axis, position, tap, scale) * unpack(rgb);
    at += channels;
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

  let columns = Axis(i32(view.crop.z), i32(view.scaled.x), i32(max(view.crop.z, view.scaled.x)));
  let column = i32(pixel.x + view.scaled.z);
  let columnTaps = taps(columns, column);
  let columnScale = fixed_scale(columns, column, columnTaps);

  let rows = Axis(i32(view.crop.w), i32(view.scaled.y), i32(max(view.crop.w, view.scaled.y)));
  let row = i32(pixel.y + view.scaled.w);
  let rowTaps = taps(rows, row);
  let rowScale = fixed_scale(rows, row, rowTaps);
  let firstTap = taps(rows, i32(corner.y + view.scaled.w)).x;
  let endTap = taps(rows, i32(min(corner.y + side - 1u, last.y) + view.scaled.w)).y;

  var sum = vec3i(half);
  for (var start = firstTap; start < endTap; start += i32(chunk)) {
    let end = min(start + i32(chunk), endTap);
    for (var y = start + i32(local.y); y < end; y += i32(side)) {
      let x = view.crop.x + u32(columnTaps.x);
      let firstByte = image.x + channels * ((view.crop.y + u32(y)) * image.y + x);
      narrowed[u32(y - start) * side + local.x] = narrow(columns, column, columnTaps, columnScale, firstByte);
    }
    workgroupBarrier();
    for (var tap = max(start, rowTaps.x); tap < min(end, rowTaps.y); tap += 1) {
      sum += fixed_weight(rows, row, tap, rowScale) * unpack(narrowed[u32(tap - start) * side + local.x]);
    }
    workgroupBarrier();
  }
  if (all(corner + local <= last)) {
    let shown = select(pixel.x, last.x - pixel.x, view.blur.w == 1u); // mirrored
    pixels[(viewRow * params.height + pixel.y) * params.width + shown] = pack(sum);
  }
}
