// y[place, column] = bias[column] + sum over taps and channels of a[place moved by the tap, channel] b[tap, channel, column]: a
// convolution without a matrix of patches in memory, or its transpose. Each invocation computes 4 places × 4 columns.
alias Element = vec4f; // f32 where the channels or columns of a group are no multiple of 4
alias Stored = vec4f;  // as a and b lie in memory; f16 or vec4<f16> for half precision
alias Bias = f32;
alias Result = f32;
const width = 4u; // numbers of Element
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

// Four numbers of one line from the first element on; zeros behind `count` of them. Of width 4 all four are there.
fn four_of_a(at: u32, count: u32) -> vec4f {
  if (width == 4u) { return vec4f(Element(a[at / 4u])); }
  let places = at + min(vec4u(0u, 1u, 2u, 3u), vec4u(count - 1u));
  let x = vec2f(vec4f(Element(a[places.x])).x, vec4f(Element(a[places.y])).x);
  let z = vec2f(vec4f(Element(a[places.z])).x, vec4f(Element(a[places.w])).x);
  return select(vec4f(), vec4f(x, z), vec4u(0u, 1u, 2u, 3u) < vec4u(count));
}

fn four_of_b(at: u32, count: u32) -> vec4f {
  if (width == 4u) { return vec4f(Element(b[at / 4u])); }
  let places = at + min(vec4u(0u, 1u, 2u, 3u), vec4u(count - 1u));
  let x = vec2f(vec4f(Element(b[places.x])).x, vec4f(Element(b[places.y])).x);
  let z = vec2f(vec4f(Element(b[places.z])).x, vec4f(Element(b[places.w])).x);
  return select(vec4f(), vec4f(x, z), vec4u(0u, 1u, 2u, 3u) < vec4u(count));
}

// Four lines of b from the first element on; zeros behind the last number of a line and behind the last line.
fn sixteen_of_b(at: u32, step: u32, lines: u32, count: u32) -> mat4x4f {
  let ats = at + min(vec4u(0u, 1u, 2u, 3u), vec4u(lines - 1u)) * step;
  let first = mat4x4f(four_of_b(ats.x, count), four_of_b(ats.y, count), four_of_b(ats.z, count), four_of_b(ats.w, count));
  if (width == 4u || lines >= 4u) { return first; }
  let zero = vec4f();
  return mat4x4f(first[0], select(zero, first[1], lines > 1u), select(zero, first[2], lines > 2u), zero);
}

@compute @workgroup_size(8, 8)
fn conv(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let group = unfold(workgroup, grid, vec2u((params.columns + 31u) / 32u, (params.rows + 31u) / 32u));
  if (group.z >= params.groups) { return; }
  let wanted = group.x * 32u + 4u * local.x;
  let column = min(wanted, params.columns - width);
  let columns = params.columns - column;
  let firstRow = group.y * 32u + 4u * local.y;
  // Rows outside of the result repeat its last one, so that every load is in bounds.
  let rows = min(vec4u(firstRow) + vec4u(0u, 1u, 2u, 3u), vec4u(params.rows - 1u));
  let area = params.places.x * params.places.y;
  let image = rows / area;
  let inImage = rows - image * area;
  let line = inImage / params.places.y;
  let startDown = vec4i(line) * params.stride.x + params.shift.x;
  let startAside = vec4i(inImage - line * params.places.y) * params.stride.y + params.shift.y;
  var sums = mat4x4f();
  for (var tap = 0u; tap < params.taps.x * params.taps.y; tap++) {
    var down = startDown + i32(tap / params.taps.y) * params.dilation.x;
    var aside = startAside + i32(tap % params.taps.y) * params.dilation.y;
    var inside = (down >= vec4i()) & (aside >= vec4i());
    if (divides) {
      let wholeDown = down / params.divisor.x;
      let wholeAside = aside / params.divisor.y;
      inside &= (wholeDown * params.divisor.x == down) & (wholeAside * params.divisor.y == aside);
      down = wholeDown;
      aside = wholeAside;
    }
    inside &= (down < vec4i(i32(params.sources.x))) & (aside < vec4i(i32(params.sources.y)));
    let place = (image * params.sources.x + vec4u(down)) * params.sources.y + vec4u(aside);
    let atA = select(vec4u(), place * params.aPlace, inside) + group.z * params.channels;
    let atB = group.z * params.bGroup + tap * params.bTap + column * params.bColumn;
    for (var c = 0u; c < params.channels; c += 4u) {
      let channels = params.channels - c;
      let left = mat4x4f(
        select(vec4f(), four_of_a(atA.x + c, channels), inside.x),
        select(vec4f(), four_of_a(atA.y + c, channels), inside.y),
        select(vec4f(), four_of_a(atA.z + c, channels), inside.z),
        select(vec4f(), four_of_a(atA.w + c, channels), inside.w),
      );
      if (byColumns) {
        sums += sixteen_of_b(atB + c * params.bChannel, params.bChannel, channels, columns) * left;
      } else {
        sums += transpose(sixteen_of_b(atB + c, params.bColumn, columns, channels)) * left;
      }
    }
  }
  if (wanted >= params.columns) { return; }
  for (var i = 0u; i < 4u; i++) { store_places(group.z, firstRow + i, column, sums[i]); }
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
