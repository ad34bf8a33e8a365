/** Mean and biased variance of each column, in float64. */
export function columnStatistics(
  x: ArrayLike<number>,
  columns: number,
): { mean: Float64Array; variance: Float64Array } {
  const rows = x.length / columns;
  const mean = new Float64Array(columns);
  const variance = new Float64Array(columns);
  for (let i = 0; i < x.length; i++) mean[i % columns] = (mean[i % columns] ?? 0) + (x[i] ?? 0) / rows;
  for (let i = 0; i < x.length; i++) {
    const c = i % columns;
    variance[c] = (variance[c] ?? 0) + ((x[i] ?? 0) - (mean[c] ?? 0)) ** 2 / rows;
  }
  return { mean, variance };
}

/** (x − mean) / √(variance + epsilon) · weight + bias per column, in float64. */
export function normalizeColumns(
  x: ArrayLike<number>,
  statistics: { readonly mean: ArrayLike<number>; readonly variance: ArrayLike<number> },
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  epsilon: number,
): Float64Array {
  const columns = weight.length;
  return Float64Array.from(x, (v, i) => {
    const c = i % columns;
    const h = (v - (statistics.mean[c] ?? 0)) / Math.sqrt((statistics.variance[c] ?? 0) + epsilon);
    return h * (weight[c] ?? 1) + (bias[c] ?? 0);
  });
}
