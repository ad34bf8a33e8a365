import {
  type Arena,
  type AttentionSegment,
  add,
  attention,
  cast,
  layerNorm,
  linear,
  mul,
  normLinear,
  reshape,
  type SampleFactors,
  scaledSum,
  type Tensor,
} from "../engine/index.ts";
import { layerScaleNames } from "./parameters.ts";
import type { LayerScale, VitKind } from "./vit_config.ts";

/** Where layers find their parameters: an arena, or tensors of a program that stand for what it holds. */
export type Weights = Pick<Arena, "get" | "tensors">;

/** Factors of drop path (arXiv 1603.09382) on both residual branches of a block; samples of one number of tokens each. */
export interface BranchKeep {
  readonly attention: SampleFactors;
  readonly mlp: SampleFactors;
}

/** What a block needs to know beside its parameters. */
export interface BlockOptions {
  readonly kind: VitKind;
  readonly heads: number;
  readonly epsilon: number;
  /** Default none. */
  readonly layerScale?: LayerScale;
  /** Which rows attend to each other. */
  readonly segments: readonly AttentionSegment[];
  /** Drop path: what each sample's residual branches are multiplied with, 0 or what keeps the mean. Default: nothing is dropped. */
  readonly keep?: BranchKeep;
  /** Receives queries, keys and values as the attention module takes them: rows of q, k and v, in each the heads in turn. */
  readonly onQueries?: (qkv: Tensor) => void;
  /** Receives the output of the attention module, before the residual sum. */
  readonly onAttention?: (output: Tensor) => void;
}

/**
 * One transformer block on token rows `[R, D]`: pre-norm `x += attn(LN1 x); x += mlp(LN2 x)` or post-norm
 * `x = LN1(x + attn x); x = LN2(x + mlp x)`; with LayerScale, attn and mlp times a factor per channel.
 */
export function transformerBlock(parameters: Weights, prefix: string, x: Tensor, options: BlockOptions): Tensor {
  const { kind, epsilon } = options;
  const normalize = (name: string, value: Tensor): Tensor => norm(parameters, `${prefix}.${name}`, value, epsilon);
  if (kind === "prenorm") {
    const { weight, bias } = dense(parameters, `${prefix}.attn.qkv`);
    const first = { ...dense(parameters, `${prefix}.norm1`), epsilon };
    // Of the two norms only this one joins its linear layer: before the wider one of the MLP, a norm of its own is faster.
    const attended = selfAttention(parameters, prefix, normLinear(x, first, weight, { bias }), x, options);
    return mlp(parameters, prefix, normalize("norm2", attended), attended, options);
  }
  const { weight, bias } = dense(parameters, `${prefix}.attn.qkv`);
  const attended = normalize("norm1", selfAttention(parameters, prefix, linear(x, weight, { bias }), x, options));
  return normalize("norm2", mlp(parameters, prefix, attended, attended, options));
}

/** residual + projected attention over packed q, k and v */
function selfAttention(
  parameters: Weights,
  prefix: string,
  qkv: Tensor,
  residual: Tensor,
  options: BlockOptions,
): Tensor {
  const { heads, segments, keep, layerScale, onQueries, onAttention } = options;
  onQueries?.(qkv);
  const project = dense(parameters, `${prefix}.attn.proj`);
  const mixed = attention(qkv, { heads, segments });
  if (onAttention) onAttention(linear(mixed, project.weight, { bias: project.bias }));
  const gamma = layerScale === "parameters" ? parameters.get(`${prefix}.${layerScaleNames.attention}`) : undefined;
  return addBranch(residual, { gamma, keep: keep?.attention }, (sum) =>
    linear(mixed, project.weight, { bias: project.bias, ...sum }),
  );
}

/** residual + fc2(gelu(fc1(x))) */
function mlp(parameters: Weights, prefix: string, x: Tensor, residual: Tensor, options: BlockOptions): Tensor {
  const first = dense(parameters, `${prefix}.mlp.fc1`);
  const second = dense(parameters, `${prefix}.mlp.fc2`);
  const hidden = linear(x, first.weight, { bias: first.bias, activation: "gelu" });
  const gamma = options.layerScale === "parameters" ? parameters.get(`${prefix}.${layerScaleNames.mlp}`) : undefined;
  return addBranch(residual, { gamma, keep: options.keep?.mlp }, (sum) =>
    linear(hidden, second.weight, { bias: second.bias, ...sum }),
  );
}

/** Factors on a branch before the residual sum: per channel (LayerScale) and per sample (drop path). */
interface BranchFactors {
  readonly gamma: Tensor | undefined;
  readonly keep: SampleFactors | undefined;
}

/** Adds a branch to the residual stream, fused into the branch's last linear layer unless a factor comes between. */
function addBranch(
  residual: Tensor,
  { gamma, keep }: BranchFactors,
  branch: (sum: { residual?: Tensor }) => Tensor,
): Tensor {
  if (!gamma && !keep) return branch({ residual });
  let y = branch({});
  // In f32: factors start near 1e-5, where f16 has few bits left, and their gradients are sums over all rows.
  if (gamma) y = cast(mul(cast(y, "f32"), gamma), residual.dtype);
  return keep ? scaledSum(residual, y, keep) : add(residual, y);
}

/** Layer norm with the parameters of that name. */
export function norm(parameters: Weights, name: string, x: Tensor, epsilon: number): Tensor {
  return layerNorm(x, { weight: parameters.get(`${name}.weight`), bias: parameters.get(`${name}.bias`), epsilon });
}

/** Weight and bias of a linear layer or a norm. */
export function dense(parameters: Weights, name: string): { weight: Tensor; bias: Tensor } {
  return { weight: parameters.get(`${name}.weight`), bias: parameters.get(`${name}.bias`) };
}

/** Patches `[B, N, C·p·p]` times the patch embedding: `[B·N, D]` rows. */
export function embedPatches(parameters: Weights, patches: Tensor, residual?: Tensor): Tensor {
  const weight = parameters.get("patch_embed.proj.weight");
  const columns = weight.size / (weight.shape[0] ?? 1);
  const rows = reshape(patches, [-1, columns]);
  return linear(rows, reshape(weight, [-1, columns]), {
    bias: parameters.get("patch_embed.proj.bias"),
    ...(residual ? { residual } : {}),
  });
}
