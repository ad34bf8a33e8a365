// Gaussian blur as Pillow's three extended box blurs per axis (uint8 after each), greyscale, solarisation and normalisation of one
// tile of one view. One workgroup per (tile, image, view). A blurred tile is computed with a margin that its six passes use up.
const side = 44u; // of a tile with its margins; two copies of side^2 words fit into 16 KiB
const area = side * side;
const lanes = 256u;

struct Params { firstRow: u32, batch: u32, width: u32, height: u32, channels: u32, halo: u32, center: vec3f, scale: vec3f }
struct View { crop: vec4u, scaled: vec4u, factors: vec4f, colour: vec4u, blur: vec4u }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameters: array<View>;
@group(0) @binding(2) var<storage, read> pixels: array<u32>; // red | green << 8 | blue << 16
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [views * batch, channels, height, width]
var<workgroup> planes: array<u32, 2u * area>;

// Red and blue in the halves of one word, green in the other: sums of up to 128 bytes do not carry over.
fn split(rgb: u32) -> vec2u { return vec2u(rgb & 0xff00ffu, (rgb >> 8u) & 255u); }

// The mean over `position` ± (radius + a fraction), clamped to [low, high], of elements `stride` apart.
fn box_mean(first: u32, stride: u32, position: i32, low: i32, high: i32, blur: vec4u) -> u32 {
  let radius = i32(blur.x);
  var sum = vec2u(0u);
  for (var offset = -radius; offset <= radius; offset += 1) {
    sum += split(planes[first + stride * u32(clamp(position + offset, low, high))]);
  }
  let edges = split(planes[first + stride * u32(clamp(position - radius - 1, low, high))]) +
    split(planes[first + stride * u32(clamp(position + radius + 1, low, high))]);
  let inner = vec3u(sum.x & 0xffffu, sum.y, sum.x >> 16u);
  let outer = vec3u(edges.x & 0xffffu, edges.y, edges.x >> 16u);
  let mean = (inner * blur.y + outer * blur.z + (1u << 23u)) >> vec3u(24u);
  return mean.x | (mean.y << 8u) | (mean.z << 16u);
}

// What of a view's axis lies in the tile with its margins, in the coordinates of the latter.
fn inside(start: u32, length: u32) -> vec2i {
  let low = max(0, i32(params.halo) - i32(start));
  return vec2i(low, clamp(i32(length) - 1 - i32(start) + i32(params.halo), low, i32(side) - 1));
}

fn finish_pixel(packed: u32, at: vec2u, viewRow: u32, colour: vec4u) {
  var rgb = vec3u(packed, packed >> 8u, packed >> 16u) & vec3u(255u);
  if (colour.z == 1u) { rgb = vec3u((19595u * rgb.x + 38470u * rgb.y + 7471u * rgb.z + 32768u) >> 16u); } // ITU-R 601
  rgb = select(rgb, 255u - rgb, rgb >= vec3u(colour.w)); // solarise
  let value = (vec3f(rgb) - params.center) * params.scale;
  for (var c = 0u; c < params.channels; c += 1u) {
    y[((viewRow * params.channels + c) * params.height + at.y) * params.width + at.x] = value[c];
  }
}

@compute @workgroup_size(lanes)
fn views_finish(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let halo = params.halo; // margin: three times the reach of the widest box, 0 where no view is blurred
  let tile = side - 2u * halo;
  let tilesAcross = (params.width + tile - 1u) / tile;
  let corner = tile * vec2u(group.x % tilesAcross, group.x / tilesAcross);
  let size = vec2u(params.width, params.height);
  let viewRow = group.z * params.batch + group.y;
  let view = parameters[params.firstRow + viewRow];
  let first = viewRow * params.width * params.height;
  if (halo == 0u || view.blur.y == 0u) {
    for (var i = lane; i < tile * tile; i += lanes) {
      let at = corner + vec2u(i % tile, i / tile);
      if (all(at < size)) { finish_pixel(pixels[first + at.y * params.width + at.x], at, viewRow, view.colour); }
    }
    return;
  }

  let columns = inside(corner.x, params.width);
  let rows = inside(corner.y, params.height);
  let inner = vec2u(vec2i(columns.x, rows.x)); // first position inside
  let extent = vec2u(vec2i(columns.y, rows.y)) + 1u - inner;
  for (var i = lane; i < extent.x * extent.y; i += lanes) {
    let local = inner + vec2u(i % extent.x, i / extent.x);
    let at = corner + local - halo;
    planes[local.y * side + local.x] = pixels[first + at.y * params.width + at.x];
  }
  var source = 0u;
  for (var step = 0u; step < 6u; step += 1u) {
    workgroupBarrier();
    let along = step < 3u; // the rows, then the columns
    let range = select(rows, columns, along);
    for (var i = lane; i < extent.x * extent.y; i += lanes) {
      let local = inner + vec2u(i % extent.x, i / extent.x);
      let line = source + select(local.x, side * local.y, along);
      let mean = box_mean(line, select(side, 1u, along), i32(select(local.y, local.x, along)), range.x, range.y, view.blur);
      planes[area - source + local.y * side + local.x] = mean;
    }
    source = area - source;
  }
  workgroupBarrier();
  for (var i = lane; i < tile * tile; i += lanes) {
    let local = vec2u(i % tile, i / tile);
    let at = corner + local;
    if (all(at < size)) { finish_pixel(planes[source + (local.y + halo) * side + local.x + halo], at, viewRow, view.colour); }
  }
}
