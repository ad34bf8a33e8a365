// y = gelu?(LN(x) Wᵀ + bias): layer norm and linear layer in one pass over x, for software adapters; tiles as in matmul_subgroup.
// With c an estimate of the mean of a row, n = x - c, and 1/s = sqrt(var + epsilon):
//   LN(x) Wᵀ = s (Σ n γ w - mean(n) Σ γ w) + Σ β w,   var = mean(n²) - mean(n)²,
// so that the statistics are sums like the product itself. c keeps the differences small: it is the median of three elements,
// which one outlier cannot move.
override lanes: u32 = 8u; // every subgroup of the adapter has this size, at least 8; the workgroup is one subgroup
override hasBias: bool = false; // + bias[column]
override gelu: bool = false; // x cdf(x) of the value after the bias
override keepPreactivation: bool = false; // preactivation[row, column] = value after the bias
struct Params { rows: u32, columns: u32, depth: u32, statisticsStride: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [rows, depth]
@group(0) @binding(2) var<storage, read> weight: array<f32>; // [columns, depth]
@group(0) @binding(3) var<storage, read> bias: array<f32>; // [columns]
@group(0) @binding(4) var<storage, read> scale: array<f32>; // γ, [depth]
@group(0) @binding(5) var<storage, read> shift: array<f32>; // β, [depth]
@group(0) @binding(6) var<storage, read_write> y: array<f32>; // [rows, columns]
@group(0) @binding(7) var<storage, read_write> preactivation: array<f32>; // [rows, columns]
@group(0) @binding(8) var<storage, read_write> statistics: array<f32>; // [2, statisticsStride]: mean, s

const tileRows = 16u;

@compute @workgroup_size(lanes)
fn norm_linear(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let firstRow = group.y * tileRows;
  // Lanes outside of the matrix repeat its last row or column, so that every load is in bounds.
  let rows = min(vec2u(firstRow + lane % 8u) + vec2u(0u, 8u), vec2u(params.rows - 1u));
  let columns = vec4u(group.x * 4u * lanes + lane) + vec4u(0u, 1u, 2u, 3u) * lanes;
  let last = params.depth - 1u;
  var atX = rows * params.depth;
  var atWeight = min(columns, vec4u(params.columns - 1u)) * params.depth;
  let centre = vec2f(
    median(x[atX.x], x[atX.x + last / 2u], x[atX.x + last]),
    median(x[atX.y], x[atX.y + last / 2u], x[atX.y + last]),
  );
  var sums: array<vec4f, tileRows>;
  var rowSums = vec2f();
  var squares = vec2f();
  var scaled = vec4f(); // Σ γ w
  var shifted = vec4f(); // Σ β w
  for (var k = 0u; k < params.depth; k += lanes) {
    let scales = scale[min(k + lane, last)];
    let shifts = shift[min(k + lane, last)];
    let count = min(lanes, params.depth - k);
    for (var i = 0u; i < count; i++) {
      let right = vec4f(weight[atWeight.x], weight[atWeight.y], weight[atWeight.z], weight[atWeight.w]);
      let difference = vec2f(x[atX.x], x[atX.y]) - centre;
      let gamma = subgroupShuffle(scales, i);
      atX += 1u;
      atWeight += 1u;
      rowSums += difference;
      squares = fma(difference, difference, squares);
      scaled = fma(vec4f(gamma), right, scaled);
      shifted = fma(vec4f(subgroupShuffle(shifts, i)), right, shifted);
      let left = difference * gamma;
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
  let width = f32(params.depth);
  let offset = rowSums / width;
  let s = 1.0 / sqrt(max(squares / width - offset * offset, vec2f()) + params.epsilon);
  if (group.x == 0u && lane < 8u) {
    let mean = centre + offset;
    if (firstRow + lane < params.rows) { statistics[rows.x] = mean.x; statistics[params.statisticsStride + rows.x] = s.x; }
    if (firstRow + lane + 8u < params.rows) { statistics[rows.y] = mean.y; statistics[params.statisticsStride + rows.y] = s.y; }
  }
  // The rows leave one at a time while the others move up: one copy of the epilogue in the code instead of sixteen.
  let count = min(tileRows, params.rows - firstRow);
  for (var i = 0u; i < count; i++) {
    let rowOffset = subgroupShuffle(select(offset.x, offset.y, i >= 8u), i % 8u);
    let rowScale = subgroupShuffle(select(s.x, s.y, i >= 8u), i % 8u);
    let values = rowScale * (sums[0] - rowOffset * scaled) + shifted;
    let atRow = (firstRow + i) * params.columns;
    for (var j = 0u; j < 4u; j++) {
      if (columns[j] < params.columns) { finish(values[j], atRow, columns[j]); }
    }
    for (var r = 1u; r < tileRows; r++) { sums[r - 1u] = sums[r]; }
  }
}

fn median(p: f32, q: f32, r: f32) -> f32 {
  return max(min(p, q), min(max(p, q), r));
}

fn finish(sum: f32, atRow: u32, column: u32) {
  var value = sum;
  if (hasBias) { value += bias[column]; }
  if (keepPreactivation) { preactivation[atRow + column] = value; }
  if (gelu) { value *= normal_cdf(value); }
  y[atRow + column] = value;
}

fn normal_cdf(x: f32) -> f32 {
  return 0.5 + 0.5 * erf(x * 0.70710678);
}

// Within 8e-8 of erf, as derived in gelu.wgsl.
fn erf(x: f32) -> f32 {
  let u = min(abs(x), 4.0); // erf(4) is 1 in f32
  let z = u * u;
  let inner = ((((((7.6471100e-5 * z - 7.9423538e-4) * z + 5.1797493e-3) * z - 2.6848592e-2) * z + 1.1283430e-1) * z
    - 3.7612605e-1) * z + 1.2837915e-1) * u + u;
  let p = (((((1.4518470e-4 * u - 3.0638007e-3) * u + 2.6850788e-2) * u - 1.3923740e-1) * u - 9.3136382e-1) * u
    - 1.6197347) * u - 2.0131669e-3;
  return sign(x) * select(1.0 - exp2(p), inner, u < 1.0);
}
