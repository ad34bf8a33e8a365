import { OptionError, ShapeError } from "../core/errors.ts";
import { checkDType, checkRank, checkSameShape, showShape } from "../core/shape.ts";
import { programOf, reshape, type Tensor } from "../core/tensor.ts";
import { mul } from "./binary.ts";
import { full } from "./fill.ts";
import { matmul } from "./matmul.ts";
import { permute } from "./permute.ts";
import { softmax } from "./softmax.ts";
import { tril } from "./triangle.ts";
import { where } from "./where.ts";

export interface CrossAttentionOptions {
  readonly heads: number;
  /** Multiplies q·k; headDim ** -0.5 by default (arXiv 1706.03762, eq. 1). */
  readonly scale?: number;
  /** Query n sees the keys 0 … n only. Default false. */
  readonly causal?: boolean;
  /** `[B, S]`, u32: 0 for keys that no query of the sample sees, such as padding. */
  readonly keyMask?: Tensor | undefined;
}

/**
 * Softmax attention softmax(scale q kᵀ) v of every sample and head, between two sets of tokens or within one, with masks. The scores
 * `[B, heads, T, S]` lie in memory; `attention` has none for one set without masks. A query that sees no key gives NaN, as in PyTorch; NaN
 * in masked keys changes nothing, in their values spoils the results.
 *
 * @param queries - `[B, T, width]`, f32 or f16
 * @param keys - `[B, S, width]`, of the same type
 * @param values - `[B, S, out]`, of the same type; heads divide `out`
 * @returns `[B, T, out]`
 * @throws RankError, ShapeError, DTypeError, OptionError
 */
export function crossAttention(queries: Tensor, keys: Tensor, values: Tensor, options: CrossAttentionOptions): Tensor {
  const { heads, causal = false, keyMask } = options;
  for (const [name, operand] of Object.entries({ queries, keys, values })) {
    checkRank("crossAttention", name, operand, 3);
    checkDType("crossAttention", name, operand, name === "queries" ? ["f32", "f16"] : [queries.dtype]);
  }
  const [batch = 1, tokens = 1, width = 1] = queries.shape;
  const [, sources = 1] = keys.shape;
  const out = values.shape[2] ?? 1;
  checkSameShape("crossAttention", "keys", keys.shape, [batch, sources, width]);
  checkSameShape("crossAttention", "values", values.shape, [batch, sources, out]);
  if (!Number.isInteger(heads) || heads < 1 || width % heads !== 0 || out % heads !== 0) {
    throw new OptionError(
      `crossAttention: heads is ${heads}, expected a positive integer that divides the widths ${width} and ${out}`,
    );
  }
  if (causal && tokens !== sources) {
    throw new ShapeError(
      `crossAttention: causal order needs as many queries as keys, got ${showShape(queries.shape)} and ${showShape(keys.shape)}; give a keyMask or equal lengths`,
    );
  }
  const scale = options.scale ?? (width / heads) ** -0.5;
  const split = (x: Tensor): Tensor =>
    permute(reshape(x, [batch, x.shape[1] ?? 1, heads, (x.shape[2] ?? 1) / heads]), [0, 2, 1, 3]);
  let scores = matmul(mul(split(queries), scale), split(keys), { transposeB: true });
  const program = programOf("crossAttention", scores, keyMask);
  if (keyMask) {
    checkDType("crossAttention", "keyMask", keyMask, ["u32"]);
    checkSameShape("crossAttention", "keyMask", keyMask.shape, [batch, sources]);
    scores = where(reshape(keyMask, [batch, 1, 1, sources]), scores, Number.NEGATIVE_INFINITY);
  }
  if (causal) scores = where(tril(full(program, [tokens, sources], 1, "u32")), scores, Number.NEGATIVE_INFINITY);
  const mixed = matmul(softmax(scores), split(values));
  return reshape(permute(mixed, [0, 2, 1, 3]), [batch, tokens, out]);
}
