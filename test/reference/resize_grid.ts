/** Sizes of a grid resize; the reference of PyTorch's bicubic interpolation in float64, one axis after the other. */
export interface ResizeCase {
  readonly n: number;
  readonly from: readonly [rows: number, columns: number];
  readonly to: readonly [rows: number, columns: number];
  readonly width: number;
  readonly scaleOffset: number;
}

/** `[to, from]` weights along one axis. */
export function bicubicMatrix(from: number, to: number, scaleOffset: number): number[][] {
  const a = -0.75;
  const near = (t: number) => (a + 2) * t ** 3 - (a + 3) * t ** 2 + 1;
  const far = (t: number) => a * t ** 3 - 5 * a * t ** 2 + 8 * a * t - 4 * a;
  return Array.from({ length: to }, (_, place) => {
    const centre = ((place + 0.5) * from) / (to + scaleOffset) - 0.5;
    const floor = Math.floor(centre);
    const t = centre - floor;
    const weights = new Array<number>(from).fill(0);
    [far(t + 1), near(t), near(1 - t), far(2 - t)].forEach((weight, k) => {
      const index = Math.min(from - 1, Math.max(0, floor - 1 + k));
      weights[index] = (weights[index] ?? 0) + weight;
    });
    return weights;
  });
}

export function resizeReference(x: ArrayLike<number>, { n, from, to, width, scaleOffset }: ResizeCase): Float64Array {
  const rows = bicubicMatrix(from[0], to[0], scaleOffset);
  const columns = bicubicMatrix(from[1], to[1], scaleOffset);
  const y = new Float64Array(n * to[0] * to[1] * width);
  for (let image = 0; image < n; image++)
    for (const [r, rowWeights] of rows.entries())
      for (const [c, columnWeights] of columns.entries())
        for (let d = 0; d < width; d++) {
          const at = (i: number, j: number) => x[((image * from[0] + i) * from[1] + j) * width + d] ?? Number.NaN;
          y[((image * to[0] + r) * to[1] + c) * width + d] = weightedSum(rowWeights, columnWeights, at);
        }
  return y;
}

function weightedSum(
  rowWeights: readonly number[],
  columnWeights: readonly number[],
  at: (i: number, j: number) => number,
): number {
  let sum = 0;
  for (const [i, rowWeight] of rowWeights.entries())
    for (const [j, columnWeight] of columnWeights.entries()) sum += rowWeight * columnWeight * at(i, j);
  return sum;
}
