// Gaussian blur as Pillow's three extended box blurs per axis (uint8 after each), greyscale, solarisation and normalisation of one
// tile of one view. One workgroup per (tile, image, view). A blurred tile is computed with a margin that its six passes use up.
const channels = 3u; // of the result, 1 or 3
const halo = 0u; // margin: three times the reach of one box, 0 where no view is blurred
const side = 44u; // of tile and margins; two copies of side^2 words fit into 16 KiB
const tile = side - 2u * halo;
const area = side * side;
const lanes = 256u;

struct Params { firstRow: u32, batch: u32, width: u32, height: u32, center: vec3f, scale: vec3f }
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
  let low = max(0, i32(halo) - i32(start));
  return vec2i(low, clamp(i32(length) - 1 - i32(start) + i32(halo), low, i32(side) - 1));
}

fn finish(packed: u32, at: vec2u, viewRow: u32, colour: vec4u) {
  var rgb = vec3u(packed, packed >> 8u, packed >> 16u) & vec3u(255u);
  if (colour.z == 1u) { rgb = vec3u((19595u * rgb.x + 38470u * rgb.y + 7471u * rgb.z + 32768u) >> 16u); } // ITU-R 601
  rgb = select(rgb, 255u - rgb, rgb >= vec3u(colour.w)); // solarise
  let value = (vec3f(rgb) - params.center) * params.scale;
  for (var c = 0u; c < channels; c += 1u) {
    y[((viewRow * channels + c) * params.height + at.y) * params.width + at.x] = value[c];
  }
}

@compute @workgroup_size(lanes)
fn views_finish(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tilesAcross = (params.width + tile - 1u) / tile;
  let corner = tile * vec2u(group.x % tilesAcross, group.x / tilesAcross);
  let size = vec2u(params.width, params.height);
  let viewRow = group.z * params.batch + group.y;
  let view = parameters[params.firstRow + viewRow];
  let first = viewRow * params.width * params.height;
  if (halo == 0u || view.blur.y == 0u) {
    for (var i = lane; i < tile * tile; i += lanes) {
      let at = corner + vec2u(i % tile, i / tile);
      if (all(at < size)) { finish(pixels[first + at.y * params.width + at.x], at, viewRow, view.colour); }
    }
    return;
  }

  let columns = inside(corner.x, params.width);
  let rows = inside(corner.y, params.height);
  let shift = vec2i(corner) - vec2i(i32(halo));
  for (var i = lane; i < area; i += lanes) {
    let local = clamp(vec2i(vec2u(i % side, i / side)), vec2i(columns.x, rows.x), vec2i(columns.y, rows.y));
    let at = vec2u(local + shift);
    planes[i] = pixels[first + at.y * params.width + at.x];
  }
  var source = 0u;
  for (var step = 0u; step < 3u; step += 1u) {
    workgroupBarrier();
    for (var i = lane; i < area; i += lanes) {
      planes[area - source + i] = box_mean(source + i - i % side, 1u, i32(i % side), columns.x, columns.y, view.blur);
    }
    source = area - source;
  }
  for (var step = 0u; step < 3u; step += 1u) {
    workgroupBarrier();
    for (var i = lane; i < tile * side; i += lanes) {
      let x = halo + i % tile;
      let row = i / tile;
      planes[area - source + row * side + x] = box_mean(source + x, side, i32(row), rows.x, rows.y, view.blur);
    }
    source = area - source;
  }
  workgroupBarrier();
  for (var i = lane; i < tile * tile; i += lanes) {
    let local = vec2u(i % tile, i / tile);
    let at = corner + local;
    if (all(at < size)) { finish(planes[source + (local.y + halo) * side + local.x + halo], at, viewRow, view.colour); }
  }
}
