/** Sizes of an attention in float64; the images lie behind each other, as in the op. */
export interface AttentionSizes {
  readonly heads: number;
  readonly headDim: number;
  readonly scale: number;
  /** Images in their order: tokens of each. */
  readonly images: readonly number[];
}

/** softmax(scale q kᵀ) v per image and head; rows are [q | k | v], in each the heads in turn. */
export function attentionReference(
  qkv: ArrayLike<number>,
  { heads, headDim, scale, images }: AttentionSizes,
): Float64Array {
  const width = heads * headDim;
  const rows = images.reduce((sum, tokens) => sum + tokens, 0);
  const y = new Float64Array(rows * width);
  let first = 0;
  for (const tokens of images) {
    for (let head = 0; head < heads; head++) {
      const at = (row: number, part: number, d: number): number =>
        qkv[(first + row) * 3 * width + part * width + head * headDim + d] ?? Number.NaN;
      for (let i = 0; i < tokens; i++)
        y.set(attendedRow(i, tokens, headDim, scale, at), (first + i) * width + head * headDim);
    }
    first += tokens;
  }
  return y;
}

/** One query's row; `at(row, part, d)` reads q (0), k (1) and v (2) of one head of one image. */
function attendedRow(
  i: number,
  tokens: number,
  headDim: number,
  scale: number,
  at: (row: number, part: number, d: number) => number,
): Float64Array {
  const scores = Array.from({ length: tokens }, (_, j) => {
    let score = 0;
    for (let d = 0; d < headDim; d++) score += at(i, 0, d) * at(j, 1, d);
    return scale * score;
  });
  const top = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - top));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return Float64Array.from({ length: headDim }, (_, d) => {
    let sum = 0;
    for (let j = 0; j < tokens; j++) sum += (weights[j] ?? 0) * at(j, 2, d);
    return sum / total;
  });
}
