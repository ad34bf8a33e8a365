// Gradients of the parameters of LN(x) Wᵀ + bias, where the normalised x was never stored; tiles as in matmul_subgroup, of 32 rows.
//   dW[c, k] = Σ dy[r, c] LN(x)[r, k] = γ[k] Σ dy[r, c] (x[r, k] - mean[r]) s[r] + β[k] dbias[c],   dbias[c] = Σ dy[r, c]
// Four rows of x and dy at once, as in matmul_subgroup_wide.
override lanes: u32 = 8u; // every subgroup of the adapter has this size, at least 8; the workgroup is one subgroup
struct Params { rows: u32, columns: u32, depth: u32, statisticsStride: u32 } // depth counts vec4s
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // [rows, depth]
@group(0) @binding(2) var<storage, read> dy: array<f32>; // [rows, columns]
@group(0) @binding(3) var<storage, read> scale: array<vec4f>; // γ, [depth]
@group(0) @binding(4) var<storage, read> shift: array<vec4f>; // β, [depth]
@group(0) @binding(5) var<storage, read> statistics: array<f32>; // [2, statisticsStride]: mean, s
@group(0) @binding(6) var<storage, read_write> dWeight: array<vec4f>; // [columns, depth]
@group(0) @binding(7) var<storage, read_write> dBias: array<f32>; // [columns]

const tileRows = 32u; // rows of dWeight; a lane loads dy of four, so that a load of x serves many

// LN(x) before scale and shift of a lane's four columns; zeros past the last row.
fn normalised(row: u32, column: u32) -> vec4f {
  let at = min(row, params.rows - 1u);
  let value = (x[at * params.depth + column] - statistics[at]) * statistics[params.statisticsStride + at];
  return select(vec4f(), value, row < params.rows);
}

// dy of a column in four rows; zeros past the last row.
fn slopes(row: u32, column: u32) -> vec4f {
  let rows = vec4u(row) + vec4u(0u, 1u, 2u, 3u);
  let at = min(rows, vec4u(params.rows - 1u)) * params.columns + column;
  return select(vec4f(), vec4f(dy[at.x], dy[at.y], dy[at.z], dy[at.w]), rows < vec4u(params.rows));
}

@compute @workgroup_size(lanes)
fn norm_linear_grad(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = unfold(workgroup, grid, vec2u((params.depth + lanes - 1u) / lanes, (params.columns + tileRows - 1u) / tileRows));
  if (group.z > 0u) { return; }
  let firstRow = group.y * tileRows;
  // Lanes outside of the matrix repeat its last row or columns, so that every load is in bounds.
  let outputs = min(vec4u(firstRow + lane % 8u) + vec4u(0u, 8u, 16u, 24u), vec4u(params.columns - 1u));
  let wanted = group.x * lanes + lane;
  let column = min(wanted, params.depth - 1u);
  var sums: array<vec4f, tileRows>;
  var rowSums = vec4f();
  for (var r = 0u; r < params.rows; r += 4u) {
    let right = mat4x4f(normalised(r, column), normalised(r + 1u, column), normalised(r + 2u, column), normalised(r + 3u, column));
    let left = mat4x4f(slopes(r, outputs.x), slopes(r, outputs.y), slopes(r, outputs.z), slopes(r, outputs.w));
    rowSums += vec4f(1.0) * left;
    sums[0] = add_products(subgroupBroadcast(left[0], 0u), right, sums[0]);
    sums[1] = add_products(subgroupBroadcast(left[0], 1u), right, sums[1]);
    sums[2] = add_products(subgroupBroadcast(left[0], 2u), right, sums[2]);
    sums[3] = add_products(subgroupBroadcast(left[0], 3u), right, sums[3]);
    sums[4] = add_products(subgroupBroadcast(left[0], 4u), right, sums[4]);
    sums[5] = add_products(subgroupBroadcast(left[0], 5u), right, sums[5]);
    sums[6] = add_products(subgroupBroadcast(left[0], 6u), right, sums[6]);
    sums[7] = add_products(subgroupBroadcast(left[0], 7u), right, sums[7]);
    sums[8] = add_products(subgroupBroadcast(left[1], 0u), right, sums[8]);
    sums[9] = add_products(subgroupBroadcast(left[1], 1u), right, sums[9]);
    sums[10] = add_products(subgroupBroadcast(left[1], 2u), right, sums[10]);
    sums[11] = add_products(subgroupBroadcast(left[1], 3u), right, sums[11]);
    sums[12] = add_products(subgroupBroadcast(left[1], 4u), right, sums[12]);
    sums[13] = add_products(subgroupBroadcast(left[1], 5u), right, sums[13]);
    sums[14] = add_products(subgroupBroadcast(left[1], 6u), right, sums[14]);
    sums[15] = add_products(subgroupBroadcast(left[1], 7u), right, sums[15]);
    sums[16] = add_products(subgroupBroadcast(left[2], 0u), right, sums[16]);
    sums[17] = add_products(subgroupBroadcast(left[2], 1u), right, sums[17]);
    sums[18] = add_products(subgroupBroadcast(left[2], 2u), right, sums[18]);
    sums[19] = add_products(subgroupBroadcast(left[2], 3u), right, sums[19]);
    sums[20] = add_products(subgroupBroadcast(left[2], 4u), right, sums[20]);
    sums[21] = add_products(subgroupBroadcast(left[2], 5u), right, sums[21]);
    sums[22] = add_products(subgroupBroadcast(left[2], 6u), right, sums[22]);
    sums[23] = add_products(subgroupBroadcast(left[2], 7u), right, sums[23]);
    sums[24] = add_products(subgroupBroadcast(left[3], 0u), right, sums[24]);
    sums[25] = add_products(subgroupBroadcast(left[3], 1u), right, sums[25]);
    sums[26] = add_products(subgroupBroadcast(left[3], 2u), right, sums[26]);
    sums[27] = add_products(subgroupBroadcast(left[3], 3u), right, sums[27]);
    sums[28] = add_products(subgroupBroadcast(left[3], 4u), right, sums[28]);
    sums[29] = add_products(subgroupBroadcast(left[3], 5u), right, sums[29]);
    sums[30] = add_products(subgroupBroadcast(left[3], 6u), right, sums[30]);
    sums[31] = add_products(subgroupBroadcast(left[3], 7u), right, sums[31]);
  }
  if (group.x == 0u && lane < 8u) {
    for (var i = 0u; i < 4u; i++) {
      if (firstRow + lane + 8u * i < params.columns) { dBias[outputs[i]] = rowSums[i]; }
    }
  }
  // Counted from firstRow, because lavapipe unrolls a loop of at most tileRows turns, which takes seconds to compile.
  let lastRow = min(firstRow + tileRows, params.columns);
  for (var row = firstRow; row < lastRow; row++) {
    let i = row - firstRow;
    let total = subgroupShuffle(rowSums[i / 8u], i % 8u);
    if (wanted < params.depth) { dWeight[row * params.depth + column] = scale[column] * sums[0] + shift[column] * total; }
    for (var k = 1u; k < tileRows; k++) { sums[k - 1u] = sums[k]; }
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
