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
    const [scale = Number.NaN] = layerNormScales(row, columns, epsilon);
    for (const [c, v] of row.entries()) y[first + c] = (v - mean) * scale * (weight?.[c] ?? 1) + (bias?.[c] ?? 0);
  }
  return y;
}

/** 1 / √(variance + epsilon) of each row. */
export function layerNormScales(x: ArrayLike<number>, columns: number, epsilon: number): Float64Array {
  return Float64Array.from({ length: x.length / columns }, (_, r) => {
    const row = Array.from({ length: columns }, (_, c) => x[r * columns + c] ?? Number.NaN);
    const mean = row.reduce((sum, v) => sum + v, 0) / columns;
    return 1 / Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / columns + epsilon);
  });
}
