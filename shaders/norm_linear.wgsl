// y = gelu?(LN(x) Wᵀ + bias): layer norm and linear layer in one pass over x, for software adapters; tiles as in matmul_subgroup, of 32 rows.
// With c an estimate of the mean of a row, n = x - c, and 1/s = sqrt(var + epsilon):
//   LN(x) Wᵀ = s (Σ n γ w - mean(n) Σ γ w) + Σ β w,   var = mean(n²) - mean(n)²,
// so that the statistics are sums like the product itself. c keeps the differences small: it is the median of three elements,
// which one outlier cannot move.
// Four steps of the depth at once, as in matmul_subgroup_wide.
override lanes: u32 = 8u; // every subgroup of the adapter has this size, at least 8; the workgroup is one subgroup
override hasBias: bool = false; // + bias[column]
override gelu: bool = false; // x cdf(x) of the value after the bias
override keepSlope: bool = false; // slope[row, column] = slope of GELU at the value after the bias, less 1/2
struct Params {
  rows: u32, columns: u32, depth: u32, // columns and depth count vec4s
  tiles: u32, // of rows that a workgroup computes, one below the other
  statisticsStride: u32, epsilon: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // [rows, depth]
@group(0) @binding(2) var<storage, read> weight: array<vec4f>; // [4 columns, depth]
@group(0) @binding(3) var<storage, read> bias: array<vec4f>; // [columns]
@group(0) @binding(4) var<storage, read> scale: array<vec4f>; // γ, [depth]
@group(0) @binding(5) var<storage, read> shift: array<vec4f>; // β, [depth]
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>; // [rows, columns]
@group(0) @binding(7) var<storage, read_write> slope: array<vec4f>; // [rows, columns]
@group(0) @binding(8) var<storage, read_write> statistics: array<f32>; // [2, statisticsStride]: mean, s

alias Element = vec4f; // of the functions that other kernels carry with the same text
const tileRows = 32u; // of which a lane loads four, so that a load of the weights serves many rows

@compute @workgroup_size(lanes)
fn norm_linear(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let groupRows = params.tiles * tileRows;
  let group = unfold(workgroup, grid, vec2u((params.columns + lanes - 1u) / lanes, (params.rows + groupRows - 1u) / groupRows));
  if (group.z > 0u) { return; }
  // Lanes outside of the matrix repeat its last row or columns, so that every load is in bounds.
  let wanted = group.x * lanes + lane;
  let column = min(wanted, params.columns - 1u);
  let depth = params.depth;
  let atWeight = 4u * column * depth;
  // Both are the same for all rows, and cost a tile's loads of the weights.
  var scaled = vec4f(); // Σ γ w
  var shifted = vec4f(); // Σ β w + bias
  if (hasBias) { shifted = bias[column]; }
  for (var k = 0u; k < depth; k++) {
    let at = atWeight + k;
    let right = transpose(mat4x4f(weight[at], weight[at + depth], weight[at + 2u * depth], weight[at + 3u * depth]));
    scaled = add_products(scale[k], right, scaled);
    shifted = add_products(shift[k], right, shifted);
  }
  let endRow = min((group.y + 1u) * groupRows, params.rows);
  for (var firstRow = group.y * groupRows; firstRow < endRow; firstRow += tileRows) {
    let rows = min(vec4u(firstRow + lane % 8u) + vec4u(0u, 8u, 16u, 24u), vec4u(params.rows - 1u));
    let atX = rows * depth;
    let centre = vec4f(middle_of(atX.x), middle_of(atX.y), middle_of(atX.z), middle_of(atX.w));
    var sums = array<vec4f, tileRows>(); // Dawn clears a bare declaration only on the first turn of the loop
    var rowSums = vec4f();
    var squares = vec4f();
    for (var k = 0u; k < depth; k++) {
      let at = atWeight + k;
      let right = transpose(mat4x4f(weight[at], weight[at + depth], weight[at + 2u * depth], weight[at + 3u * depth]));
      let gamma = scale[k];
      let n = mat4x4f(x[atX.x + k] - centre.x, x[atX.y + k] - centre.y, x[atX.z + k] - centre.z, x[atX.w + k] - centre.w);
      rowSums += vec4f(1.0) * n;
      squares += vec4f(dot(n[0], n[0]), dot(n[1], n[1]), dot(n[2], n[2]), dot(n[3], n[3]));
      let first = n[0] * gamma;
      let second = n[1] * gamma;
      let third = n[2] * gamma;
      let fourth = n[3] * gamma;
      sums[0] = add_products(subgroupBroadcast(first, 0u), right, sums[0]);
      sums[1] = add_products(subgroupBroadcast(first, 1u), right, sums[1]);
      sums[2] = add_products(subgroupBroadcast(first, 2u), right, sums[2]);
      sums[3] = add_products(subgroupBroadcast(first, 3u), right, sums[3]);
      sums[4] = add_products(subgroupBroadcast(first, 4u), right, sums[4]);
      sums[5] = add_products(subgroupBroadcast(first, 5u), right, sums[5]);
      sums[6] = add_products(subgroupBroadcast(first, 6u), right, sums[6]);
      sums[7] = add_products(subgroupBroadcast(first, 7u), right, sums[7]);
      sums[8] = add_products(subgroupBroadcast(second, 0u), right, sums[8]);
      sums[9] = add_products(subgroupBroadcast(second, 1u), right, sums[9]);
      sums[10] = add_products(subgroupBroadcast(second, 2u), right, sums[10]);
      sums[11] = add_products(subgroupBroadcast(second, 3u), right, sums[11]);
      sums[12] = add_products(subgroupBroadcast(second, 4u), right, sums[12]);
      sums[13] = add_products(subgroupBroadcast(second, 5u), right, sums[13]);
      sums[14] = add_products(subgroupBroadcast(second, 6u), right, sums[14]);
      sums[15] = add_products(subgroupBroadcast(second, 7u), right, sums[15]);
      sums[16] = add_products(subgroupBroadcast(third, 0u), right, sums[16]);
      sums[17] = add_products(subgroupBroadcast(third, 1u), right, sums[17]);
      sums[18] = add_products(subgroupBroadcast(third, 2u), right, sums[18]);
      sums[19] = add_products(subgroupBroadcast(third, 3u), right, sums[19]);
      sums[20] = add_products(subgroupBroadcast(third, 4u), right, sums[20]);
      sums[21] = add_products(subgroupBroadcast(third, 5u), right, sums[21]);
      sums[22] = add_products(subgroupBroadcast(third, 6u), right, sums[22]);
      sums[23] = add_products(subgroupBroadcast(third, 7u), right, sums[23]);
      sums[24] = add_products(subgroupBroadcast(fourth, 0u), right, sums[24]);
      sums[25] = add_products(subgroupBroadcast(fourth, 1u), right, sums[25]);
      sums[26] = add_products(subgroupBroadcast(fourth, 2u), right, sums[26]);
      sums[27] = add_products(subgroupBroadcast(fourth, 3u), right, sums[27]);
      sums[28] = add_products(subgroupBroadcast(fourth, 4u), right, sums[28]);
      sums[29] = add_products(subgroupBroadcast(fourth, 5u), right, sums[29]);
      sums[30] = add_products(subgroupBroadcast(fourth, 6u), right, sums[30]);
      sums[31] = add_products(subgroupBroadcast(fourth, 7u), right, sums[31]);
    }
    let width = 4.0 * f32(depth);
    let offset = rowSums / width;
    let s = 1.0 / sqrt(max(squares / width - offset * offset, vec4f()) + params.epsilon);
    if (group.x == 0u && lane < 8u) {
      let mean = centre + offset;
      for (var i = 0u; i < 4u; i++) {
        if (firstRow + lane + 8u * i < params.rows) {
          statistics[rows[i]] = mean[i];
          statistics[params.statisticsStride + rows[i]] = s[i];
        }
      }
    }
    // The rows leave two at a time while the others move up: two copies of the epilogue in the code instead of 32.
    // Counted from firstRow, because lavapipe unrolls a loop of at most tileRows turns, which takes seconds to compile.
    let lastRow = min(firstRow + tileRows, params.rows);
    for (var row = firstRow; row < lastRow; row += 2u) {
      let i = row - firstRow;
      let rowOffset = offset[i / 8u]; // of the eight rows that the lanes hold
      let rowScale = s[i / 8u];
      for (var r = 0u; r < 2u; r++) {
        let values = subgroupShuffle(rowScale, i % 8u + r) * (sums[r] - subgroupShuffle(rowOffset, i % 8u + r) * scaled) + shifted;
        if (wanted < params.columns && row + r < lastRow) { finish_product(values, (row + r) * params.columns + column); }
      }
      for (var r = 2u; r < tileRows; r++) { sums[r - 2u] = sums[r]; }
  }  }
}

fn add_products(left: vec4f, right: mat4x4f, sum: vec4f) -> vec4f {
  return fma(vec4f(left.w), right[3], fma(vec4f(left.z), right[2], fma(vec4f(left.y), right[1], fma(vec4f(left.x), right[0], sum))));
}

// The median of three elements of the row that starts at `at`.
fn middle_of(at: u32) -> f32 {
  let p = x[at].x;
  let q = x[at + params.depth / 2u].y;
  return max(min(p, q), min(max(p, q), x[at + params.depth - 1u].w));
}

fn finish_product(sum: vec4f, at: u32) {
  var value = sum;
  if (keepSlope) { slope[at] = gelu_slope(value) - 0.5; }
  if (gelu) { value *= normal_cdf(value); }
  y[at] = value;
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
