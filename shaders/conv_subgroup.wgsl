// y = bias + convolution, as in conv.wgsl, by one subgroup per tile of 16 places × 4·lanes columns, four channels at a time. Lanes lie over
// the columns; eight places of a come with one load and are spread by broadcasts, as in products of matrices.
override lanes: u32 = 8u; // every subgroup of the adapter has this size, at least 8; the workgroup is one subgroup
alias Stored = vec4f; // as a and b lie in memory; vec4<f16> for half precision
alias Bias = f32;
alias Result = f32;
override hasBias: bool = false;
override byColumns: bool = false; // neighbours of b lie along the columns, otherwise along the channels
override divides: bool = false; // divisor is not 1: only some places have a source under a tap
struct Params {
  rows: u32, columns: u32, channels: u32, groups: u32, // images times places; of one group: channels of the result and of the source
  aPlace: u32, yPlace: u32, // elements from a place to the next: channels of all groups
  bTap: u32, bChannel: u32, bColumn: u32, bGroup: u32, // strides of b
  places: vec2u, sources: vec2u, taps: vec2u, // rows and columns: of the result, of the source, of the kernel
  stride: vec2i, dilation: vec2i, shift: vec2i, divisor: vec2i, // source = (place stride + tap dilation + shift) / divisor
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Stored>;
@group(0) @binding(2) var<storage, read> b: array<Stored>;
@group(0) @binding(3) var<storage, read> bias: array<Bias>;
@group(0) @binding(4) var<storage, read_write> y: array<Result>;

const tileRows = 16u;

@compute @workgroup_size(lanes)
fn conv_subgroup(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let across = vec2u((params.columns + 4u * lanes - 1u) / (4u * lanes), (params.rows + tileRows - 1u) / tileRows);
  let group = unfold(workgroup, grid, across);
  if (group.z >= params.groups) { return; }
  let firstRow = group.y * tileRows;
  // Lanes outside of the result repeat its last place or columns, so that every load is in bounds.
  let rows = min(vec2u(firstRow + lane % 8u) + vec2u(0u, 8u), vec2u(params.rows - 1u));
  let area = params.places.x * params.places.y;
  let image = rows / area;
  let inImage = rows - image * area;
  let line = inImage / params.places.y;
  let startDown = vec2i(line) * params.stride.x + params.shift.x;
  let startAside = vec2i(inImage - line * params.places.y) * params.stride.y + params.shift.y;
  let wanted = 4u * (group.x * lanes + lane);
  let column = min(wanted, params.columns - 4u);
  let bStep = select(params.bColumn, params.bChannel, byColumns) / 4u; // from one load to the next
  var sums: array<vec4f, tileRows>;
  for (var tap = 0u; tap < params.taps.x * params.taps.y; tap++) {
    var down = startDown + i32(tap / params.taps.y) * params.dilation.x;
    var aside = startAside + i32(tap % params.taps.y) * params.dilation.y;
    var inside = (down >= vec2i()) & (aside >= vec2i());
    if (divides) {
      let wholeDown = down / params.divisor.x;
      let wholeAside = aside / params.divisor.y;
      inside &= (wholeDown * params.divisor.x == down) & (wholeAside * params.divisor.y == aside);
      down = wholeDown;
      aside = wholeAside;
    }
    inside &= (down < vec2i(i32(params.sources.x))) & (aside < vec2i(i32(params.sources.y)));
    let place = (image * params.sources.x + vec2u(down)) * params.sources.y + vec2u(aside);
    var atA = (select(vec2u(), place * params.aPlace, inside) + group.z * params.channels) / 4u;
    var atB = (group.z * params.bGroup + tap * params.bTap + column * params.bColumn) / 4u;
    for (var c = 0u; c < params.channels; c += 4u) {
      let left0 = select(vec4f(), vec4f(a[atA.x]), inside.x);
      let left1 = select(vec4f(), vec4f(a[atA.y]), inside.y);
      atA += 1u;
      var right = mat4x4f(vec4f(b[atB]), vec4f(b[atB + bStep]), vec4f(b[atB + 2u * bStep]), vec4f(b[atB + 3u * bStep]));
      if (!byColumns) { right = transpose(right); }
      atB += select(1u, params.bChannel, byColumns);
      sums[0] = add_products(subgroupBroadcast(left0, 0u), right, sums[0]);
      sums[1] = add_products(subgroupBroadcast(left0, 1u), right, sums[1]);
      sums[2] = add_products(subgroupBroadcast(left0, 2u), right, sums[2]);
      sums[3] = add_products(subgroupBroadcast(left0, 3u), right, sums[3]);
      sums[4] = add_products(subgroupBroadcast(left0, 4u), right, sums[4]);
      sums[5] = add_products(subgroupBroadcast(left0, 5u), right, sums[5]);
      sums[6] = add_products(subgroupBroadcast(left0, 6u), right, sums[6]);
      sums[7] = add_products(subgroupBroadcast(left0, 7u), right, sums[7]);
      sums[8] = add_products(subgroupBroadcast(left1, 0u), right, sums[8]);
      sums[9] = add_products(subgroupBroadcast(left1, 1u), right, sums[9]);
      sums[10] = add_products(subgroupBroadcast(left1, 2u), right, sums[10]);
      sums[11] = add_products(subgroupBroadcast(left1, 3u), right, sums[11]);
      sums[12] = add_products(subgroupBroadcast(left1, 4u), right, sums[12]);
      sums[13] = add_products(subgroupBroadcast(left1, 5u), right, sums[13]);
      sums[14] = add_products(subgroupBroadcast(left1, 6u), right, sums[14]);
      sums[15] = add_products(subgroupBroadcast(left1, 7u), right, sums[15]);
    }
  }
  if (wanted >= params.columns) { return; }
  let kept = sums;
  let lastRow = min(firstRow + tileRows, params.rows);
  for (var row = firstRow; row < lastRow; row++) { store_places(group.z, row, column, kept[row - firstRow]); }
}

fn add_products(left: vec4f, right: mat4x4f, sum: vec4f) -> vec4f {
  return fma(vec4f(left.w), right[3], fma(vec4f(left.z), right[2], fma(vec4f(left.y), right[1], fma(vec4f(left.x), right[0], sum))));
}

fn store_places(group: u32, row: u32, column: u32, sum: vec4f) {
  if (row >= params.rows) { return; }
  for (var j = 0u; j < min(4u, params.columns - column); j++) {
    var value = sum[j];
    let at = group * params.columns + column + j;
    if (hasBias) { value += f32(bias[at]); }
    y[row * params.yPlace + at] = Result(value);
  }
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
