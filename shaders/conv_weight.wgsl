// dWeight[row, tap, column] = sum over places of dy[place, row] x[place moved by the tap, column], for one part of the lines of places:
// the gradient of a convolution with respect to its weight. Each invocation computes 4 rows × 4 columns under one tap.
alias Element = vec4f; // f32 where the rows or columns of a group are no multiple of 4
alias Stored = vec4f;  // as dy and x lie in memory; f16 or vec4<f16> for half precision
const width = 4u; // numbers of Element
struct Params {
  rows: u32, columns: u32, lines: u32, groups: u32, // of one group: channels of dy and of x; images times rows of places
  parts: u32, linesPerPart: u32,
  dyPlace: u32, xPlace: u32, // elements from a place to the next: channels of all groups
  places: vec2u, sources: vec2u, taps: vec2u, // rows and columns: of dy, of x, of the kernel
  stride: vec2i, dilation: vec2i, shift: vec2i, // source = place stride + tap dilation + shift
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Stored>;
@group(0) @binding(2) var<storage, read> x: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dWeight: array<f32>; // [parts, groups, rows, taps, columns]

fn four_of_dy(at: vec4u) -> vec4f {
  if (width == 4u) { return vec4f(Element(dy[at.x / 4u])); }
  return vec4f(vec4f(Element(dy[at.x])).x, vec4f(Element(dy[at.y])).x, vec4f(Element(dy[at.z])).x, vec4f(Element(dy[at.w])).x);
}

fn four_of_x(at: vec4u) -> vec4f {
  if (width == 4u) { return vec4f(Element(x[at.x / 4u])); }
  return vec4f(vec4f(Element(x[at.x])).x, vec4f(Element(x[at.y])).x, vec4f(Element(x[at.z])).x, vec4f(Element(x[at.w])).x);
}

@compute @workgroup_size(8, 8)
fn conv_weight(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let group = unfold(workgroup, grid, vec2u((params.columns + 31u) / 32u, (params.rows + 31u) / 32u));
  let taps = params.taps.x * params.taps.y;
  if (group.z >= params.groups * taps * params.parts) { return; }
  let tap = group.z % taps;
  let channelGroup = group.z / taps % params.groups;
  let part = group.z / taps / params.groups;
  let row = group.y * 32u + 4u * local.y;
  let column = group.x * 32u + 4u * local.x;
  // Rows and columns outside of the weight repeat its last one, so that every load is in bounds.
  let rows = channelGroup * params.rows + min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(params.rows - width) + vec4u(0u, 1u, 2u, 3u) % width);
  let columns = channelGroup * params.columns + min(vec4u(column) + vec4u(0u, 1u, 2u, 3u), vec4u(params.columns - width) + vec4u(0u, 1u, 2u, 3u) % width);
  let tapDown = i32(tap / params.taps.y) * params.dilation.x + params.shift.x;
  let tapAside = i32(tap % params.taps.y) * params.dilation.y + params.shift.y;
  // Places of a line whose source lies inside of the line.
  let first = max(0, (params.stride.y - 1 - tapAside) / params.stride.y);
  let behind = min(i32(params.places.y), (i32(params.sources.y) - 1 - tapAside + params.stride.y) / params.stride.y);
  var sums = mat4x4f();
  let end = min((part + 1u) * params.linesPerPart, params.lines);
  for (var line = part * params.linesPerPart; line < end; line++) {
    let image = line / params.places.x;
    let down = i32(line % params.places.x) * params.stride.x + tapDown;
    if (down < 0 || down >= i32(params.sources.x)) { continue; }
    let sourceLine = (image * params.sources.x + u32(down)) * params.sources.y;
    var atDy = (line * params.places.y + u32(first)) * params.dyPlace + rows;
    var atX = (sourceLine + u32(first * params.stride.y + tapAside)) * params.xPlace + columns;
    var block = mat4x4f(); // sums of sums: the error grows with a line's length and the number of lines, not with their product
    for (var place = first; place < behind; place++) {
      let left = four_of_dy(atDy);
      let right = four_of_x(atX);
      block += mat4x4f(left.x * right, left.y * right, left.z * right, left.w * right);
      atDy += params.dyPlace;
      atX += u32(params.stride.y) * params.xPlace;
    }
    sums += block;
  }
  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < 4u; j++) {
      if (row + i < params.rows && column + j < params.columns) {
        let line = (part * params.groups + channelGroup) * params.rows + row + i;
        dWeight[(line * taps + tap) * params.columns + column + j] = sums[i][j];
      }
    }
  }
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
