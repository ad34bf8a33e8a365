/** Layer norm in float64; weight and bias default to 1 and 0. */
export function layerNormReference(
  x: ArrayLike<number>,
  columns: number,
  epsilon: number,
  weight?: ArrayLike<number>,
  bias?: ArrayLike<number>,
): Float64Array {
  const y = new Float64Array(x.length);
  for (let first = 0; first < x.length; first += columns) {
    const row = Array.from({ length: columns }, (_, c) => x[first + c] ?? Number.NaN);
    const mean = row.reduce((sum, v) => sum + v, 0) / columns;
    const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / columns;
    for (const [c, v] of row.entries()) {
      y[first + c] = ((v - mean) / Math.sqrt(variance + epsilon)) * (weight?.[c] ?? 1) + (bias?.[c] ?? 0);
    }
  }
  return y;
}
