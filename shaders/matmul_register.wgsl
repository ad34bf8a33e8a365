// y = epilogue(A B): each invocation computes 8 rows × 4 columns in registers, without subgroups or shared memory.
// A workgroup covers 64 rows × 32 columns; neighbours in x take neighbouring columns. All four transposes differ in strides only.
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

const tileRows = 8u; // of one invocation
const groupColumns = 8u; // invocations beside each other

@compute @workgroup_size(groupColumns, 8)
fn matmul_register(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let across = vec2u((params.columns + 32u - 1u) / 32u, (params.rows + 64u - 1u) / 64u);
  let group = unfold(workgroup, grid, across);
  if (group.z >= params.parts) { return; }
  let batch = group.z / params.splits;
  let begin = (group.z % params.splits) * params.splitDepth;
  let end = min(begin + params.splitDepth, params.depth);
  let firstRow = (group.y * 8u + local.y) * tileRows;
  // Rows and columns outside of the matrix repeat the last one, so that every load is in bounds.
  let rows = min(vec4u(firstRow) + vec4u(0u, 1u, 2u, 3u), vec4u(params.rows - 1u));
  let lowRows = min(vec4u(firstRow) + vec4u(4u, 5u, 6u, 7u), vec4u(params.rows - 1u));
  let columns = vec4u(group.x * 4u * groupColumns + local.x) + vec4u(0u, 1u, 2u, 3u) * groupColumns;
  let atA = batch * params.aBatch + begin * params.aDepth;
  var atUpper = vec4u(atA) + rows * params.aRow;
  var atLower = vec4u(atA) + lowRows * params.aRow;
  var atB = vec4u(batch * params.bBatch + begin * params.bDepth) + min(columns, vec4u(params.columns - 1u)) * params.bColumn;
  var sums: array<vec4f, tileRows>;
  var upperSums = vec4f();
  var lowerSums = vec4f();
  for (var k = begin; k < end; k++) {
    let right = vec4f(f32(b[atB.x]), f32(b[atB.y]), f32(b[atB.z]), f32(b[atB.w]));
    let upper = vec4f(f32(a[atUpper.x]), f32(a[atUpper.y]), f32(a[atUpper.z]), f32(a[atUpper.w]));
    let lower = vec4f(f32(a[atLower.x]), f32(a[atLower.y]), f32(a[atLower.z]), f32(a[atLower.w]));
    atUpper += params.aDepth;
    atLower += params.aDepth;
    atB += params.bDepth;
    if (keepRowSums) { upperSums += upper; lowerSums += lower; }
    sums[0] = fma(vec4f(upper.x), right, sums[0]);
    sums[1] = fma(vec4f(upper.y), right, sums[1]);
    sums[2] = fma(vec4f(upper.z), right, sums[2]);
    sums[3] = fma(vec4f(upper.w), right, sums[3]);
    sums[4] = fma(vec4f(lower.x), right, sums[4]);
    sums[5] = fma(vec4f(lower.y), right, sums[5]);
    sums[6] = fma(vec4f(lower.z), right, sums[6]);
    sums[7] = fma(vec4f(lower.w), right, sums[7]);
  }
  let lastRow = min(firstRow + tileRows, params.rows);
  for (var row = firstRow; row < lastRow; row++) {
    if (keepRowSums && group.x == 0u && local.x == 0u) { extra[group.z * params.rows + row] = Extra(upperSums.x); }
    let atRow = (group.z * params.rows + row) * params.columns;
    for (var j = 0u; j < 4u; j++) {
      if (columns[j] < params.columns) { finish(sums[0][j], atRow, columns[j]); }
    }
    // The rows leave one at a time while the others move up: one copy of the epilogue in the code instead of eight.
    for (var i = 1u; i < tileRows; i++) { sums[i - 1u] = sums[i]; }
    upperSums = vec4f(upperSums.yzw, lowerSums.x);
    lowerSums = vec4f(lowerSums.yzw, 0.0);
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
