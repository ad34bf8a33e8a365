// y = epilogue(A B) as in matmul_subgroup, where rows and columns allow loads of four numbers: a tile of 16 rows x 4 lanes columns in
// registers, four steps of the depth at once. A software adapter pays for a load of four little more than for a load of one, and
// a sum that does not fit in a register is fetched and put back once for all four steps.
override lanes: u32 = 8u; // every subgroup of the adapter has this size, at least 8; the workgroup is one subgroup
override transposeA: bool = false; // a is [depth, rows] and loaded one by one
override transposeB: bool = false; // b is [columns, depth]
override hasBias: bool = false; // + bias[column]
override activation: u32 = 0u; // 1: GELU; 2: times the slope of GELU at other[row, column]
override addOther: bool = false; // + other[row, column]
override keepPreactivation: bool = false; // extra[row, column] = value before the activation
override keepRowSums: bool = false; // extra[row] = sum of that row of A
alias Element = vec4f; // of the functions that other kernels carry with the same text
alias Left = vec4f; // as it lies in memory; f32 or f16 where A is transposed
alias LeftValue = vec4f; // f32 where A is transposed
alias Right = vec4f;
alias Bias = vec4f;
alias Result = vec4f;
alias Extra = f32;
struct Params { // depths and columns are multiples of 4
  rows: u32, columns: u32, depth: u32,
  parts: u32, // results of the grid: batches times splits
  splits: u32, splitDepth: u32, // parts of the depth; their results lie behind each other in y, as batches do
  aRow: u32, aDepth: u32, aBatch: u32, // strides in elements; swapped for a transposed operand, 0 for a shared batch
  bDepth: u32, bColumn: u32, bBatch: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Left>;
@group(0) @binding(2) var<storage, read> b: array<Right>;
@group(0) @binding(3) var<storage, read> bias: array<Bias>;
@group(0) @binding(4) var<storage, read> other: array<Result>;
@group(0) @binding(5) var<storage, read_write> y: array<Result>;
@group(0) @binding(6) var<storage, read_write> extra: array<Extra>;

const tileRows = 16u;

fn single(i: u32) -> f32 { return vec4f(LeftValue(a[i])).x; }

@compute @workgroup_size(lanes)
fn matmul_subgroup_wide(
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
  // Lanes outside of the matrix repeat its last row or columns, so that every load is in bounds.
  let rows = min(vec2u(firstRow + lane % 8u) + vec2u(0u, 8u), vec2u(params.rows - 1u));
  let wanted = 4u * (group.x * lanes + lane);
  let column = min(wanted, params.columns - 4u);
  var atA = vec2u(batch * params.aBatch + begin * params.aDepth) + rows * params.aRow;
  var atB = (batch * params.bBatch + begin * params.bDepth + column * params.bColumn) / 4u;
  let bStep = select(params.bDepth, params.bColumn, transposeB) / 4u; // from one load to the next
  if (!transposeA) { atA /= 4u; }
  var sums: array<vec4f, tileRows>;
  var rowSums = vec2f();
  for (var k = begin; k < end; k += 4u) {
    var upper: vec4f; // of A, four steps of the depth
    var lower: vec4f; // eight rows below
    if (transposeA) {
      let steps = vec4u(0u, 1u, 2u, 3u) * params.aDepth;
      upper = vec4f(single(atA.x), single(atA.x + steps.y), single(atA.x + steps.z), single(atA.x + steps.w));
      lower = vec4f(single(atA.y), single(atA.y + steps.y), single(atA.y + steps.z), single(atA.y + steps.w));
      atA += 4u * params.aDepth;
    } else {
      upper = vec4f(LeftValue(a[atA.x]));
      lower = vec4f(LeftValue(a[atA.y]));
      atA += 1u;
    }
    var right = mat4x4f(vec4f(b[atB]), vec4f(b[atB + bStep]), vec4f(b[atB + 2u * bStep]), vec4f(b[atB + 3u * bStep]));
    if (transposeB) { right = transpose(right); }
    atB += select(4u * bStep, 1u, transposeB);
    if (keepRowSums) { rowSums += vec2f(dot(upper, vec4f(1.0)), dot(lower, vec4f(1.0))); }
    sums[0] = add_products(subgroupBroadcast(upper, 0u), right, sums[0]);
    sums[1] = add_products(subgroupBroadcast(upper, 1u), right, sums[1]);
    sums[2] = add_products(subgroupBroadcast(upper, 2u), right, sums[2]);
    sums[3] = add_products(subgroupBroadcast(upper, 3u), right, sums[3]);
    sums[4] = add_products(subgroupBroadcast(upper, 4u), right, sums[4]);
    sums[5] = add_products(subgroupBroadcast(upper, 5u), right, sums[5]);
    sums[6] = add_products(subgroupBroadcast(upper, 6u), right, sums[6]);
    sums[7] = add_products(subgroupBroadcast(upper, 7u), right, sums[7]);
    sums[8] = add_products(subgroupBroadcast(lower, 0u), right, sums[8]);
    sums[9] = add_products(subgroupBroadcast(lower, 1u), right, sums[9]);
    sums[10] = add_products(subgroupBroadcast(lower, 2u), right, sums[10]);
    sums[11] = add_products(subgroupBroadcast(lower, 3u), right, sums[11]);
    sums[12] = add_products(subgroupBroadcast(lower, 4u), right, sums[12]);
    sums[13] = add_products(subgroupBroadcast(lower, 5u), right, sums[13]);
    sums[14] = add_products(subgroupBroadcast(lower, 6u), right, sums[14]);
    sums[15] = add_products(subgroupBroadcast(lower, 7u), right, sums[15]);
  }
  if (keepRowSums && group.x == 0u && lane < 8u) {
    let at = group.z * params.rows;
    if (firstRow + lane < params.rows) { extra[at + rows.x] = Extra(rowSums.x); }
    if (firstRow + lane + 8u < params.rows) { extra[at + rows.y] = Extra(rowSums.y); }
  }
  // The rows leave one at a time while the others move up: one copy of the epilogue in the code instead of sixteen.
  let lastRow = min(firstRow + tileRows, params.rows);
  for (var row = firstRow; row < lastRow; row++) {
    if (wanted < params.columns) { finish_four(sums[0], (group.z * params.rows + row) * params.columns + column, column); }
    for (var i = 1u; i < tileRows; i++) { sums[i - 1u] = sums[i]; }
  }
}

fn add_products(left: vec4f, right: mat4x4f, sum: vec4f) -> vec4f {
  return fma(vec4f(left.w), right[3], fma(vec4f(left.z), right[2], fma(vec4f(left.y), right[1], fma(vec4f(left.x), right[0], sum))));
}

fn finish_four(sum: vec4f, at: u32, column: u32) {
  var value = sum;
  if (hasBias) { value += vec4f(bias[column / 4u]); }
  if (keepPreactivation) {
    for (var j = 0u; j < 4u; j++) { extra[at + j] = Extra(value[j]); }
  }
  if (activation == 1u) { value *= normal_cdf(value); }
  if (activation == 2u) { value *= gelu_slope(vec4f(other[at / 4u])); }
  if (addOther) { value += vec4f(other[at / 4u]); }
  y[at / 4u] = Result(value);
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
