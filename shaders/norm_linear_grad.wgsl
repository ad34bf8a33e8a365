// Gradients of the parameters of LN(x) Wᵀ + bias, where the normalised x was never stored; tiles as in matmul_subgroup.
//   dW[c, k] = Σ dy[r, c] LN(x)[r, k] = γ[k] Σ dy[r, c] (x[r, k] - mean[r]) s[r] + β[k] dbias[c],   dbias[c] = Σ dy[r, c]
override lanes: u32 = 8u; // every subgroup of the adapter has this size, at least 8; the workgroup is one subgroup
struct Params { rows: u32, columns: u32, depth: u32, statisticsStride: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [rows, depth]
@group(0) @binding(2) var<storage, read> dy: array<f32>; // [rows, columns]
@group(0) @binding(3) var<storage, read> scale: array<f32>; // γ, [depth]
@group(0) @binding(4) var<storage, read> shift: array<f32>; // β, [depth]
@group(0) @binding(5) var<storage, read> statistics: array<f32>; // [2, statisticsStride]: mean, s
@group(0) @binding(6) var<storage, read_write> dWeight: array<f32>; // [columns, depth]
@group(0) @binding(7) var<storage, read_write> dBias: array<f32>; // [columns]

const tileRows = 16u; // rows of dWeight

@compute @workgroup_size(lanes)
fn norm_linear_grad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let firstRow = group.y * tileRows;
  // Lanes outside of the matrix repeat its last row or column, so that every load is in bounds.
  var atDy = min(vec2u(firstRow + lane % 8u) + vec2u(0u, 8u), vec2u(params.columns - 1u));
  let outputs = atDy;
  let columns = vec4u(group.x * 4u * lanes + lane) + vec4u(0u, 1u, 2u, 3u) * lanes;
  let inside = min(columns, vec4u(params.depth - 1u));
  var atX = inside;
  var sums: array<vec4f, tileRows>;
  var rowSums = vec2f();
  for (var r = 0u; r < params.rows; r += lanes) {
    let means = statistics[min(r + lane, params.rows - 1u)];
    let scales = statistics[params.statisticsStride + min(r + lane, params.rows - 1u)];
    let count = min(lanes, params.rows - r);
    for (var i = 0u; i < count; i++) {
      let value = vec4f(x[atX.x], x[atX.y], x[atX.z], x[atX.w]);
      let left = vec2f(dy[atDy.x], dy[atDy.y]);
      atX += params.depth;
      atDy += params.columns;
      let right = (value - subgroupShuffle(means, i)) * subgroupShuffle(scales, i);
      rowSums += left;
      sums[0] = fma(vec4f(subgroupBroadcast(left.x, 0u)), right, sums[0]);
      sums[1] = fma(vec4f(subgroupBroadcast(left.x, 1u)), right, sums[1]);
      sums[2] = fma(vec4f(subgroupBroadcast(left.x, 2u)), right, sums[2]);
      sums[3] = fma(vec4f(subgroupBroadcast(left.x, 3u)), right, sums[3]);
      sums[4] = fma(vec4f(subgroupBroadcast(left.x, 4u)), right, sums[4]);
      sums[5] = fma(vec4f(subgroupBroadcast(left.x, 5u)), right, sums[5]);
      sums[6] = fma(vec4f(subgroupBroadcast(left.x, 6u)), right, sums[6]);
      sums[7] = fma(vec4f(subgroupBroadcast(left.x, 7u)), right, sums[7]);
      sums[8] = fma(vec4f(subgroupBroadcast(left.y, 0u)), right, sums[8]);
      sums[9] = fma(vec4f(subgroupBroadcast(left.y, 1u)), right, sums[9]);
      sums[10] = fma(vec4f(subgroupBroadcast(left.y, 2u)), right, sums[10]);
      sums[11] = fma(vec4f(subgroupBroadcast(left.y, 3u)), right, sums[11]);
      sums[12] = fma(vec4f(subgroupBroadcast(left.y, 4u)), right, sums[12]);
      sums[13] = fma(vec4f(subgroupBroadcast(left.y, 5u)), right, sums[13]);
      sums[14] = fma(vec4f(subgroupBroadcast(left.y, 6u)), right, sums[14]);
      sums[15] = fma(vec4f(subgroupBroadcast(left.y, 7u)), right, sums[15]);
    }
  }
  if (group.x == 0u && lane < 8u) {
    if (firstRow + lane < params.columns) { dBias[outputs.x] = rowSums.x; }
    if (firstRow + lane + 8u < params.columns) { dBias[outputs.y] = rowSums.y; }
  }
  let columnScale = vec4f(scale[inside.x], scale[inside.y], scale[inside.z], scale[inside.w]);
  let columnShift = vec4f(shift[inside.x], shift[inside.y], shift[inside.z], shift[inside.w]);
  let count = min(tileRows, params.columns - firstRow);
  for (var i = 0u; i < count; i++) {
    let total = subgroupShuffle(select(rowSums.x, rowSums.y, i >= 8u), i % 8u);
    let values = columnScale * sums[0] + columnShift * total;
    let atRow = (firstRow + i) * params.depth;
    for (var j = 0u; j < 4u; j++) {
      if (columns[j] < params.depth) { dWeight[atRow + columns[j]] = values[j]; }
    }
    for (var k = 1u; k < tileRows; k++) { sums[k - 1u] = sums[k]; }
  }
}
