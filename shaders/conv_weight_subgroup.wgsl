// The gradient of a convolution with respect to its weight, as in conv_weight.wgsl, by one subgroup per tile of 16 rows × 4·lanes columns
// under one tap, four places at a time. Lanes lie over the columns; eight rows of dy come with one load and are spread by broadcasts.
override lanes: u32 = 8u; // every subgroup of the adapter has this size, at least 8; the workgroup is one subgroup
alias Left = f32;
alias Stored = vec4f; // as dy and x lie in memory; f16 and vec4<f16> for half precision
struct Params {
  rows: u32, columns: u32, lines: u32, groups: u32, // of one group: channels of dy and of x; images times rows of places
  parts: u32, linesPerPart: u32,
  dyPlace: u32, xPlace: u32, // elements from a place to the next: channels of all groups
  places: vec2u, sources: vec2u, taps: vec2u, // rows and columns: of dy, of x, of the kernel
  stride: vec2i, dilation: vec2i, shift: vec2i, // source = place stride + tap dilation + shift
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Left>;
@group(0) @binding(2) var<storage, read> x: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dWeight: array<vec4f>; // [parts, groups, rows, taps, columns]

const tileRows = 16u;

@compute @workgroup_size(lanes)
fn conv_weight_subgroup(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let across = vec2u((params.columns + 4u * lanes - 1u) / (4u * lanes), (params.rows + tileRows - 1u) / tileRows);
  let group = unfold(workgroup, grid, across);
  let taps = params.taps.x * params.taps.y;
  if (group.z >= params.groups * taps * params.parts) { return; }
  let tap = group.z % taps;
  let channelGroup = group.z / taps % params.groups;
  let part = group.z / taps / params.groups;
  let firstRow = group.y * tileRows;
  // Lanes outside of the weight repeat its last row or columns, so that every load is in bounds.
  let rows = channelGroup * params.rows + min(vec2u(firstRow + lane % 8u) + vec2u(0u, 8u), vec2u(params.rows - 1u));
  let wanted = 4u * (group.x * lanes + lane);
  let column = channelGroup * params.columns + min(wanted, params.columns - 4u);
  let tapDown = i32(tap / params.taps.y) * params.dilation.x + params.shift.x;
  let tapAside = i32(tap % params.taps.y) * params.dilation.y + params.shift.y;
  // Places of a line whose source lies inside of the line.
  let first = max(0, (params.stride.y - 1 - tapAside) / params.stride.y);
  let behind = min(i32(params.places.y), (i32(params.sources.y) - 1 - tapAside + params.stride.y) / params.stride.y);
  let count = u32(max(0, behind - first));
  let xStep = u32(params.stride.y) * params.xPlace / 4u;
  var sums: array<vec4f, tileRows>;
  let end = min((part + 1u) * params.linesPerPart, params.lines);
  for (var line = part * params.linesPerPart; line < end; line++) {
    let image = line / params.places.x;
    let down = i32(line % params.places.x) * params.stride.x + tapDown;
    if (down < 0 || down >= i32(params.sources.x)) { continue; }
    let sourceLine = (image * params.sources.x + u32(down)) * params.sources.y;
    var atDy = (line * params.places.y + u32(first)) * params.dyPlace + rows;
    var atX = ((sourceLine + u32(first * params.stride.y + tapAside)) * params.xPlace + column) / 4u;
    for (var place = 0u; place < count; place += 4u) {
      // Behind the line its last place is repeated, and adds zeros.
      let next = min(vec3u(1u, 2u, 3u), vec3u(count - 1u - place));
      let more = vec3u(place) + vec3u(1u, 2u, 3u) < vec3u(count);
      let steps = next * params.dyPlace;
      let left0 = vec4f(f32(dy[atDy.x]), f32(dy[atDy.x + steps.x]), f32(dy[atDy.x + steps.y]), f32(dy[atDy.x + steps.z]));
      let left1 = vec4f(f32(dy[atDy.y]), f32(dy[atDy.y + steps.x]), f32(dy[atDy.y + steps.y]), f32(dy[atDy.y + steps.z]));
      let right = mat4x4f(
        vec4f(x[atX]),
        select(vec4f(), vec4f(x[atX + next.x * xStep]), more.x),
        select(vec4f(), vec4f(x[atX + next.y * xStep]), more.y),
        select(vec4f(), vec4f(x[atX + next.z * xStep]), more.z),
      );
      atDy += 4u * params.dyPlace;
      atX += 4u * xStep;
      let a = select(vec4f(), left0, vec4<bool>(true, more));
      let b = select(vec4f(), left1, vec4<bool>(true, more));
      sums[0] = add_products(subgroupBroadcast(a, 0u), right, sums[0]);
      sums[1] = add_products(subgroupBroadcast(a, 1u), right, sums[1]);
      sums[2] = add_products(subgroupBroadcast(a, 2u), right, sums[2]);
      sums[3] = add_products(subgroupBroadcast(a, 3u), right, sums[3]);
      sums[4] = add_products(subgroupBroadcast(a, 4u), right, sums[4]);
      sums[5] = add_products(subgroupBroadcast(a, 5u), right, sums[5]);
      sums[6] = add_products(subgroupBroadcast(a, 6u), right, sums[6]);
      sums[7] = add_products(subgroupBroadcast(a, 7u), right, sums[7]);
      sums[8] = add_products(subgroupBroadcast(b, 0u), right, sums[8]);
      sums[9] = add_products(subgroupBroadcast(b, 1u), right, sums[9]);
      sums[10] = add_products(subgroupBroadcast(b, 2u), right, sums[10]);
      sums[11] = add_products(subgroupBroadcast(b, 3u), right, sums[11]);
      sums[12] = add_products(subgroupBroadcast(b, 4u), right, sums[12]);
      sums[13] = add_products(subgroupBroadcast(b, 5u), right, sums[13]);
      sums[14] = add_products(subgroupBroadcast(b, 6u), right, sums[14]);
      sums[15] = add_products(subgroupBroadcast(b, 7u), right, sums[15]);
    }
  }
  if (wanted >= params.columns) { return; }
  let kept = sums;
  let lastRow = min(firstRow + tileRows, params.rows);
  for (var row = firstRow; row < lastRow; row++) {
    let line = (part * params.groups + channelGroup) * params.rows + row;
    dWeight[((line * taps + tap) * params.columns + wanted) / 4u] = kept[row - firstRow];
  }
}

fn add_products(left: vec4f, right: mat4x4f, sum: vec4f) -> vec4f {
  return fma(vec4f(left.w), right[3], fma(vec4f(left.z), right[2], fma(vec4f(left.y), right[1], fma(vec4f(left.x), right[0], sum))));
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
