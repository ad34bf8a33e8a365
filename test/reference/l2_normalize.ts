/** Rows of unit length in float64; rows shorter than epsilon are divided by it. */
export function l2NormalizeReference(x: ArrayLike<number>, columns: number, epsilon: number): Float64Array {
  const y = new Float64Array(x.length);
  for (let first = 0; first < x.length; first += columns) {
    let squares = 0;
    for (let c = 0; c < columns; c++) squares += (x[first + c] ?? 0) ** 2;
    for (let c = 0; c < columns; c++) y[first + c] = (x[first + c] ?? 0) / Math.max(Math.sqrt(squares), epsilon);
  }
  return y;
}
