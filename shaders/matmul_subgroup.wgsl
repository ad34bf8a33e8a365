// y = epilogue(A B): one subgroup computes a tile of 16 rows × 4·lanes columns in registers.
// Lanes lie over the columns. Eight rows of A come with one load and are spread by broadcasts, because a software adapter pays
// for one load about as much as for forty multiply-adds. All four transposes differ in strides only.
override lanes: u32 = 8u; // every subgroup of the adapter has this size, at least 8; the workgroup is one subgroup
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

const tileRows = 16u;

@compute @workgroup_size(lanes)
fn matmul_subgroup(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let across = vec2u((params.columns + 4u * lanes - 1u) / (4u * lanes), (params.rows + tileRows - 1u) / tileRows);
  let group = unfold(workgroup, grid, across);
  if (group.z >= params.parts) { return; }
  let batch = group.z / params.splits;
  let begin = (group.z % params.splits) * params.splitDepth;
  let end = min(begin + params.splitDepth, params.depth);
  let firstRow = group.y * tileRows;
  // Lanes outside of the matrix repeat its last row or column, so that every load is in bounds.
  let rows = min(vec2u(firstRow + lane % 8u) + vec2u(0u, 8u), vec2u(params.rows - 1u));
  let columns = vec4u(group.x * 4u * lanes + lane) + vec4u(0u, 1u, 2u, 3u) * lanes;
  var atA = vec2u(batch * params.aBatch + begin * params.aDepth) + rows * params.aRow;
  var atB = vec4u(batch * params.bBatch + begin * params.bDepth) + min(columns, vec4u(params.columns - 1u)) * params.bColumn;
  var sums: array<vec4f, tileRows>;
  var rowSums = vec2f();
  for (var k = begin; k < end; k += 2u) {
    // Two steps of the depth at once, so that a sum which does not fit in a register is fetched and put back once for both.
    // Behind an odd depth the second step adds zeros.
    let more = k + 1u < end;
    let nextA = atA + select(0u, params.aDepth, more);
    let nextB = atB + select(0u, params.bDepth, more);
    let right = vec4f(f32(b[atB.x]), f32(b[atB.y]), f32(b[atB.z]), f32(b[atB.w]));
    let left = vec2f(f32(a[atA.x]), f32(a[atA.y]));
    let right2 = select(vec4f(), vec4f(f32(b[nextB.x]), f32(b[nextB.y]), f32(b[nextB.z]), f32(b[nextB.w])), more);
    let left2 = select(vec2f(), vec2f(f32(a[nextA.x]), f32(a[nextA.y])), more);
    atA += 2u * params.aDepth;
    atB += 2u * params.bDepth;
    if (keepRowSums) { rowSums += left + left2; }
    sums[0] = fma(vec4f(subgroupBroadcast(left2.x, 0u)), right2, fma(vec4f(subgroupBroadcast(left.x, 0u)), right, sums[0]));
    sums[1] = fma(vec4f(subgroupBroadcast(left2.x, 1u)), right2, fma(vec4f(subgroupBroadcast(left.x, 1u)), right, sums[1]));
    sums[2] = fma(vec4f(subgroupBroadcast(left2.x, 2u)), right2, fma(vec4f(subgroupBroadcast(left.x, 2u)), right, sums[2]));
    sums[3] = fma(vec4f(subgroupBroadcast(left2.x, 3u)), right2, fma(vec4f(subgroupBroadcast(left.x, 3u)), right, sums[3]));
    sums[4] = fma(vec4f(subgroupBroadcast(left2.x, 4u)), right2, fma(vec4f(subgroupBroadcast(left.x, 4u)), right, sums[4]));
    sums[5] = fma(vec4f(subgroupBroadcast(left2.x, 5u)), right2, fma(vec4f(subgroupBroadcast(left.x, 5u)), right, sums[5]));
    sums[6] = fma(vec4f(subgroupBroadcast(left2.x, 6u)), right2, fma(vec4f(subgroupBroadcast(left.x, 6u)), right, sums[6]));
    sums[7] = fma(vec4f(subgroupBroadcast(left2.x, 7u)), right2, fma(vec4f(subgroupBroadcast(left.x, 7u)), right, sums[7]));
    sums[8] = fma(vec4f(subgroupBroadcast(left2.y, 0u)), right2, fma(vec4f(subgroupBroadcast(left.y, 0u)), right, sums[8]));
    sums[9] = fma(vec4f(subgroupBroadcast(left2.y, 1u)), right2, fma(vec4f(subgroupBroadcast(left.y, 1u)), right, sums[9]));
    sums[10] = fma(vec4f(subgroupBroadcast(left2.y, 2u)), right2, fma(vec4f(subgroupBroadcast(left.y, 2u)), right, sums[10]));
    sums[11] = fma(vec4f(subgroupBroadcast(left2.y, 3u)), right2, fma(vec4f(subgroupBroadcast(left.y, 3u)), right, sums[11]));
    sums[12] = fma(vec4f(subgroupBroadcast(left2.y, 4u)), right2, fma(vec4f(subgroupBroadcast(left.y, 4u)), right, sums[12]));
    sums[13] = fma(vec4f(subgroupBroadcast(left2.y, 5u)), right2, fma(vec4f(subgroupBroadcast(left.y, 5u)), right, sums[13]));
    sums[14] = fma(vec4f(subgroupBroadcast(left2.y, 6u)), right2, fma(vec4f(subgroupBroadcast(left.y, 6u)), right, sums[14]));
    sums[15] = fma(vec4f(subgroupBroadcast(left2.y, 7u)), right2, fma(vec4f(subgroupBroadcast(left.y, 7u)), right, sums[15]));
  }
  if (keepRowSums && group.x == 0u && lane < 8u) {
    let at = group.z * params.rows;
    if (firstRow + lane < params.rows) { extra[at + rows.x] = Extra(rowSums.x); }
    if (firstRow + lane + 8u < params.rows) { extra[at + rows.y] = Extra(rowSums.y); }
  }
  // The rows leave one at a time while the others move up: one copy of the epilogue in the code instead of sixteen.
  let lastRow = min(firstRow + tileRows, params.rows);
  for (var row = firstRow; row < lastRow; row++) {
    let atRow = (group.z * params.rows + row) * params.columns;
    for (var j = 0u; j < 4u; j++) {
      if (columns[j] < params.columns) { finish(sums[0][j], atRow, columns[j]); }
    }
    for (var i = 1u; i < tileRows; i++) { sums[i - 1u] = sums[i]; }
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
