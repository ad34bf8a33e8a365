// y = epilogue(A B): 16 × 16 invocations share tiles of A and B in workgroup memory; for GPUs.
// Each invocation loads four rows of A and four columns of B per step, and computes 4·groups × 4·groups values.
// All four transposes differ in strides only; the order in which a tile is loaded follows the contiguous axis.
override hasBias: bool = false; // + bias[column]
override activation: u32 = 0u; // 1: GELU; 2: times the slope of GELU at other[row, column]
override addOther: bool = false; // + other[row, column]
override keepPreactivation: bool = false; // extra[row, column] = value before the activation
override keepRowSums: bool = false; // extra[row] = sum of that row of A
alias Element = f32; // of the functions that other kernels carry with the same text
alias Operand = f32;
alias Bias = f32;
alias Result = f32;
alias Extra = f32;
struct Params {
  rows: u32, columns: u32, depth: u32,
  parts: u32, // results of the grid: batches times splits
  splits: u32, splitDepth: u32, // parts of the depth; their results lie behind each other in y, as batches do
  aRow: u32, aDepth: u32, aBatch: u32, // strides in elements; swapped for a transposed operand, 0 for a shared batch
  bDepth: u32, bColumn: u32, bBatch: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Operand>;
@group(0) @binding(2) var<storage, read> b: array<Operand>;
@group(0) @binding(3) var<storage, read> bias: array<Bias>;
@group(0) @binding(4) var<storage, read> other: array<Result>;
@group(0) @binding(5) var<storage, read_write> y: array<Result>;
@group(0) @binding(6) var<storage, read_write> extra: array<Extra>;

const groups = 1u; // tile of 64·groups rows and columns
const tileDepth = 16u; // 16 / groups, so that each invocation loads one vector of each operand
const width = 16u * groups + 1u; // vectors per depth of a tile; the odd width spreads the columns over the memory banks
const slotCount = 4u * groups * groups; // vectors of results per invocation
var<workgroup> tileA: array<vec4f, tileDepth * width>;
var<workgroup> tileB: array<vec4f, tileDepth * width>;

@compute @workgroup_size(16, 16)
fn matmul_shared(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let across = vec2u((params.columns + 64u * groups - 1u) / (64u * groups), (params.rows + 64u * groups - 1u) / (64u * groups));
  let group = unfold(workgroup, grid, across);
  if (group.z >= params.parts) { return; }
  let batch = group.z / params.splits;
  let begin = (group.z % params.splits) * params.splitDepth;
  let end = min(begin + params.splitDepth, params.depth);
  let firstRow = group.y * 64u * groups;
  let firstColumn = group.x * 64u * groups;
  // x: depth inside of the tile, y: vector along the other axis.
  let byDepth = vec2u(index % tileDepth, index / tileDepth);
  let byVector = vec2u(index / (16u * groups), index % (16u * groups));
  let loadA = select(byVector, byDepth, params.aDepth == 1u);
  let loadB = select(byVector, byDepth, params.bDepth == 1u);
  // Rows and columns outside of the matrix repeat the last one, so that every load is in bounds.
  let rows = min(vec4u(firstRow + 4u * loadA.y) + vec4u(0u, 1u, 2u, 3u), vec4u(params.rows - 1u));
  let columns = min(vec4u(firstColumn + 4u * loadB.y) + vec4u(0u, 1u, 2u, 3u), vec4u(params.columns - 1u));
  let startA = vec4u(batch * params.aBatch) + rows * params.aRow;
  let startB = vec4u(batch * params.bBatch) + columns * params.bColumn;
  var sums: array<vec4f, slotCount>;
  var rowSums: array<vec4f, groups>;
  for (var k = begin; k < end; k += tileDepth) {
    let atA = startA + vec4u(min(k + loadA.x, end - 1u) * params.aDepth);
    let atB = startB + vec4u(min(k + loadB.x, end - 1u) * params.bDepth);
    // Past the end of the depth A is 0 and B repeats a finite value of its own.
    let inside = select(0.0, 1.0, k + loadA.x < end);
    let left = vec4f(f32(a[atA.x]), f32(a[atA.y]), f32(a[atA.z]), f32(a[atA.w]));
    let right = vec4f(f32(b[atB.x]), f32(b[atB.y]), f32(b[atB.z]), f32(b[atB.w]));
    workgroupBarrier();
    tileA[loadA.x * width + loadA.y] = left * inside;
    tileB[loadB.x * width + loadB.y] = right;
    workgroupBarrier();
    for (var d = 0u; d < tileDepth; d++) {
      for (var r = 0u; r < groups; r++) {
        let four = tileA[d * width + r * 16u + local.y];
        if (keepRowSums) { rowSums[r] += four; }
        for (var c = 0u; c < groups; c++) {
          let across = tileB[d * width + c * 16u + local.x];
          let at = 4u * (r * groups + c);
          sums[at] = fma(vec4f(four.x), across, sums[at]);
          sums[at + 1u] = fma(vec4f(four.y), across, sums[at + 1u]);
          sums[at + 2u] = fma(vec4f(four.z), across, sums[at + 2u]);
          sums[at + 3u] = fma(vec4f(four.w), across, sums[at + 3u]);
        }
      }
    }
  }
  // The vectors leave one at a time while the others move up: one copy of the epilogue in the code instead of many.
  let row = firstRow + 4u * local.y;
  let column = firstColumn + 4u * local.x;
  let slots = select(0u, slotCount, row < params.rows && column < params.columns);
  for (var slot = 0u; slot < slots; slot++) {
    let tile = slot / 4u;
    let across = column + 64u * (tile % groups);
    let down = row + 64u * (tile / groups) + slot % 4u;
    let atRow = (group.z * params.rows + down) * params.columns;
    for (var j = 0u; j < 4u; j++) {
      if (down < params.rows && across + j < params.columns) { finish(sums[0][j], atRow, across + j); }
    }
    for (var i = 1u; i < slotCount; i++) { sums[i - 1u] = sums[i]; }
  }
  if (keepRowSums && group.x == 0u && local.x == 0u) {
    for (var r = 0u; r < groups; r++) {
      for (var i = 0u; i < 4u; i++) {
        let down = row + 64u * r + i;
        if (down < params.rows) { extra[group.z * params.rows + down] = Extra(rowSums[r][i]); }
      }
    }
  }
}

fn finish(sum: f32, atRow: u32, column: u32) {
  var value = sum;
  if (hasBias) { value += f32(bias[column]); }
  if (keepPreactivation) { extra[atRow + column] = Extra(value); }
  if (activation == 1u) { value *= normal_cdf(value); }
  if (activation == 2u) { value *= gelu_slope(f32(other[atRow + column])); }
  if (addOther) { value += f32(other[atRow + column]); }
  y[atRow + column] = Result(value);
}

// d gelu / dx = cdf(x) + x phi(x), cdf and phi of the standard normal distribution; gelu(x) = x cdf(x).
fn gelu_slope(x: Element) -> Element {
  let u = min(abs(x), Element(14.0)); // phi(14) is 0 in f32; keeps the square finite
  return normal_cdf(x) + x * (0.39894228 * exp2(-0.72134752 * u * u));
}

fn normal_cdf(x: Element) -> Element {
  return 0.5 + 0.5 * erf(x * 0.70710678);
}

// Within 8e-8 of erf, as derived in gelu.wgsl.
fn erf(x: Element) -> Element {
  let u = min(abs(x), Element(4.0)); // erf(4) is 1 in f32
  let z = u * u;
  let inner = ((((((7.6471100e-5 * z - 7.9423538e-4) * z + 5.1797493e-3) * z - 2.6848592e-2) * z + 1.1283430e-1) * z
    - 3.7612605e-1) * z + 1.2837915e-1) * u + u;
  let p = (((((1.4518470e-4 * u - 3.0638007e-3) * u + 2.6850788e-2) * u - 1.3923740e-1) * u - 9.3136382e-1) * u
    - 1.6197347) * u - 2.0131669e-3;
  return sign(x) * select(1.0 - exp2(p), inner, u < Element(1.0));
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
