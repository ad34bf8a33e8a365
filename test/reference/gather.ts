/** `y[i, :] = table[indices[i], :]` in float64. */
export function gatherReference(table: ArrayLike<number>, columns: number, indices: ArrayLike<number>): Float64Array {
  return Float64Array.from(
    { length: indices.length * columns },
    (_, at) => table[(indices[Math.floor(at / columns)] ?? 0) * columns + (at % columns)] ?? 0,
  );
}

/** `y[indices[i], :] += values[i, :]` in float64. */
export function scatterAddReference(
  values: ArrayLike<number>,
  columns: number,
  indices: ArrayLike<number>,
  rows: number,
): Float64Array {
  const y = new Float64Array(rows * columns);
  for (let at = 0; at < values.length; at++) {
    const to = (indices[Math.floor(at / columns)] ?? 0) * columns + (at % columns);
    y[to] = (y[to] ?? 0) + (values[at] ?? 0);
  }
  return y;
}
