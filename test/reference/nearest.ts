export interface NearestReference {
  readonly queries: number;
  readonly rows: number;
  readonly columns: number;
  readonly cosine: boolean;
  readonly queryIds?: ArrayLike<number>;
  readonly bankIds?: ArrayLike<number>;
  readonly queryClasses?: ArrayLike<number>;
  readonly bankClasses?: ArrayLike<number>;
  readonly excludedSimilarity: number;
}

/** All similarities `[queries, rows]` in float64, excluded ones replaced. */
export function similarityReference(x: ArrayLike<number>, bank: ArrayLike<number>, of: NearestReference): Float64Array {
  const { queries, rows, columns } = of;
  const scale = (values: ArrayLike<number>, row: number): number => {
    if (!of.cosine) return 1;
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += (values[row * columns + c] ?? 0) ** 2;
    return 1 / Math.max(Math.sqrt(sum), 1e-12);
  };
  const bankScales = Float64Array.from({ length: rows }, (_, row) => scale(bank, row));
  const y = new Float64Array(queries * rows);
  for (let q = 0; q < queries; q++) {
    const queryScale = scale(x, q);
    for (let row = 0; row < rows; row++) {
      let dot = 0;
      for (let c = 0; c < columns; c++) dot += (x[q * columns + c] ?? 0) * (bank[row * columns + c] ?? 0);
      y[q * rows + row] = excluded(of, q, row) ? of.excludedSimilarity : dot * queryScale * (bankScales[row] ?? 0);
    }
  }
  return y;
}

function excluded({ queryIds, bankIds, queryClasses, bankClasses }: NearestReference, q: number, row: number): boolean {
  const same = queryIds !== undefined && queryIds[q % queryIds.length] === bankIds?.[row];
  return same || (queryClasses !== undefined && queryClasses[q % queryClasses.length] !== bankClasses?.[row]);
}

/** Places of the k largest of `values`, best first, the lower one first among equals. */
export function largestReference(values: ArrayLike<number>, k: number): number[] {
  return Array.from(values, (_, i) => i)
    .sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0) || a - b)
    .slice(0, k);
}
