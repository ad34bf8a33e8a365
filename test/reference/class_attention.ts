/** Sizes of one image's attention: token 0 is the class token that asks. */
export interface ClassAttentionSizes {
  readonly tokens: number;
  readonly heads: number;
  readonly headDim: number;
  readonly classTokens: number;
}

/**
 * Soft-max weights of the first token on the patches in float64, `[heads, patches]`.
 *
 * @param qkv - rows of q, k and v, in each the heads in turn
 */
export function classAttentionReference(
  qkv: ArrayLike<number>,
  { tokens, heads, headDim, classTokens }: ClassAttentionSizes,
): Float64Array {
  const width = heads * headDim;
  const weights = new Float64Array(heads * (tokens - classTokens));
  for (let head = 0; head < heads; head++) {
    const scores = Array.from({ length: tokens }, (_, token) => {
      let score = 0;
      for (let d = 0; d < headDim; d++) {
        const column = head * headDim + d;
        score += (qkv[column] ?? Number.NaN) * (qkv[token * 3 * width + width + column] ?? Number.NaN);
      }
      return score / Math.sqrt(headDim);
    });
    const top = Math.max(...scores);
    const total = scores.reduce((sum, score) => sum + Math.exp(score - top), 0);
    for (let token = classTokens; token < tokens; token++)
      weights[head * (tokens - classTokens) + token - classTokens] = Math.exp((scores[token] ?? 0) - top) / total;
  }
  return weights;
}
