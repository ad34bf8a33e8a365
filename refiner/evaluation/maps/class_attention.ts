import { matmul, mul, permute, reshape, slice, softmax, type Tensor } from "../../../engine/index.ts";
import type { TokenSegment, VitConfig } from "../../../models/index.ts";

/** Of one block: what the class token asks, before and after the soft-max over all tokens. */
export interface ClassAttention {
  /** `[B, H, T]`: scaled products of the class token's query with all keys. */
  readonly scores: Tensor;
  /** `[B, H, patches]`: the weights of the patches; with those of the class tokens they add up to 1. */
  readonly weights: Tensor;
}

/**
 * Soft-max weights of the (first) class token on the patches, per image and head: softmax(q kᵀ / √headDim) of arXiv 1706.03762, eq. 1, of
 * which the fused attention of a forward pass keeps no copy.
 *
 * @param qkv - token rows `[B·T, 3·H·headDim]` of one resolution, as an attention module takes them
 */
export function classAttention(
  qkv: Tensor,
  { batch, tokens }: Pick<TokenSegment, "batch" | "tokens">,
  { width, heads, classTokens }: Pick<VitConfig, "width" | "heads" | "classTokens">,
): ClassAttention {
  const headDim = width / heads;
  const rows = reshape(qkv, [batch, tokens, 3 * width]);
  const query = reshape(slice(rows, [undefined, [0, 1], [0, width]]), [batch, heads, 1, headDim]);
  const keys = reshape(slice(rows, [undefined, undefined, [width, 2 * width]]), [batch, tokens, heads, headDim]);
  const products = matmul(query, permute(keys, [0, 2, 1, 3]), { transposeB: true });
  const scores = reshape(mul(products, headDim ** -0.5), [batch, heads, tokens]);
  return { scores, weights: slice(softmax(scores), [undefined, undefined, [classTokens, tokens]]) };
}
