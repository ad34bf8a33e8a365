// y = gelu?(LN(x) Wᵀ + bias): layer norm and linear layer in one pass over x, for software adapters; tiles as in matmul_subgroup.
// With c an estimate of the mean of a row, n = x - c, and 1/s = sqrt(var + epsilon):
//   LN(x) Wᵀ = s (Σ n γ w - mean(n) Σ γ w) + Σ β w,   var = mean(n²) - mean(n)²,
// so that the statistics are sums like the product itself. c keeps the differences small: it is the median of three elements,
// which one outlier cannot move.
// Four steps of the depth at once, as in matmul_subgroup_wide.
override lanes: u32 = 8u; // every subgroup of the adapter has this size, at least 8; the workgroup is one subgroup
override hasBias: bool = false; // + bias[column]
override gelu: bool = false; // x cdf(x) of the value after the bias
override keepSlope: bool = false; // slope[row, column] = slope of GELU at the value after the bias
struct Params { rows: u32, columns: u32, depth: u32, statisticsStride: u32, epsilon: f32 } // columns and depth count vec4s
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
const tileRows = 16u;

@compute @workgroup_size(lanes)
fn norm_linear(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = unfold(workgroup, grid, vec2u((params.columns + lanes - 1u) / lanes, (params.rows + tileRows - 1u) / tileRows));
  if (group.z > 0u) { return; }
  let firstRow = group.y * tileRows;
  // Lanes outside of the matrix repeat its last row or columns, so that every load is in bounds.
  let rows = min(vec2u(firstRow + lane % 8u) + vec2u(0u, 8u), vec2u(params.rows - 1u));
  let wanted = group.x * lanes + lane;
  let column = min(wanted, params.columns - 1u);
  let depth = params.depth;
  let atX = rows * depth;
  let atWeight = 4u * column * depth;
  let centre = vec2f(
    median(x[atX.x].x, x[atX.x + depth / 2u].y, x[atX.x + depth - 1u].w),
    median(x[atX.y].x, x[atX.y + depth / 2u].y, x[atX.y + depth - 1u].w),
  );
  var sums: array<vec4f, tileRows>;
  var rowSums = vec2f();
  var squares = vec2f();
  var scaled = vec4f(); // Σ γ w
  var shifted = vec4f(); // Σ β w
  for (var k = 0u; k < depth; k++) {
    let at = atWeight + k;
    let right = transpose(mat4x4f(weight[at], weight[at + depth], weight[at + 2u * depth], weight[at + 3u * depth]));
    let gamma = scale[k];
    let above = x[atX.x + k] - centre.x;
    let below = x[atX.y + k] - centre.y; // eight rows below
    rowSums += vec2f(dot(above, vec4f(1.0)), dot(below, vec4f(1.0)));
    squares += vec2f(dot(above, above), dot(below, below));
    scaled = add_products(gamma, right, scaled);
    shifted = add_products(shift[k], right, shifted);
    let upper = above * gamma;
    let lower = below * gamma;
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
  let width = 4.0 * f32(depth);
  let offset = rowSums / width;
  let s = 1.0 / sqrt(max(squares / width - offset * offset, vec2f()) + params.epsilon);
  if (group.x == 0u && lane < 8u) {
    let mean = centre + offset;
    if (firstRow + lane < params.rows) { statistics[rows.x] = mean.x; statistics[params.statisticsStride + rows.x] = s.x; }
    if (firstRow + lane + 8u < params.rows) { statistics[rows.y] = mean.y; statistics[params.statisticsStride + rows.y] = s.y; }
  }
  // The rows leave one at a time while the others move up: one copy of the epilogue in the code instead of sixteen.
  // Counted from firstRow, because lavapipe unrolls a loop of at most tileRows turns, which takes seconds to compile.
  let lastRow = min(firstRow + tileRows, params.rows);
  for (var row = firstRow; row < lastRow; row++) {
    let i = row - firstRow;
    let rowOffset = subgroupShuffle(select(offset.x, offset.y, i >= 8u), i % 8u);
    let rowScale = subgroupShuffle(select(s.x, s.y, i >= 8u), i % 8u);
    let values = rowScale * (sums[0] - rowOffset * scaled) + shifted;
    if (wanted < params.columns) { finish_product(values, row * params.columns + column, column); }
    for (var r = 1u; r < tileRows; r++) { sums[r - 1u] = sums[r]; }
  }
}

fn add_products(left: vec4f, right: mat4x4f, sum: vec4f) -> vec4f {
  return fma(vec4f(left.w), right[3], fma(vec4f(left.z), right[2], fma(vec4f(left.y), right[1], fma(vec4f(left.x), right[0], sum))));
}

fn median(p: f32, q: f32, r: f32) -> f32 {
  return max(min(p, q), min(max(p, q), r));
}

fn finish_product(sum: vec4f, at: u32, column: u32) {
  var value = sum;
  if (hasBias) { value += bias[column]; }
  if (keepSlope) { slope[at] = gelu_slope(value); }
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
