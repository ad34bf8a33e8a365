/** RMS norm in float64. */
export function rmsNormReference(
  x: ArrayLike<number>,
  columns: number,
  epsilon: number,
  weight: ArrayLike<number>,
): Float64Array {
  const y = new Float64Array(x.length);
  for (let first = 0; first < x.length; first += columns) {
    let squares = 0;
    for (let c = 0; c < columns; c++) squares += (x[first + c] ?? Number.NaN) ** 2;
    const scale = 1 / Math.sqrt(squares / columns + epsilon);
    for (let c = 0; c < columns; c++) y[first + c] = (x[first + c] ?? Number.NaN) * scale * (weight[c] ?? Number.NaN);
  }
  return y;
}
