/**
 * The k rows of `bank` with the largest dot product for each row of `queries`, best first, in float64.
 *
 * @param queries - `[n, columns]`; `bank` likewise
 */
export function cosineTopK(queries: ArrayLike<number>, bank: ArrayLike<number>, columns: number, k: number) {
  const bankRows = bank.length / columns;
  const similarities: number[] = [];
  const indices: number[] = [];
  for (let query = 0; query < queries.length / columns; query++) {
    const all = Array.from({ length: bankRows }, (_, row) => {
      let sum = 0;
      for (let c = 0; c < columns; c++) sum += (queries[query * columns + c] ?? 0) * (bank[row * columns + c] ?? 0);
      return { row, sum };
    });
    all.sort((a, b) => b.sum - a.sum || a.row - b.row);
    for (const { row, sum } of all.slice(0, k)) {
      similarities.push(sum);
      indices.push(row);
    }
  }
  return { similarities, indices };
}
