import { checkpoint } from "../engine/core/gradient_checkpointing.ts";
import type { Tensor } from "../engine/index.ts";
import { type BlockOptions, type BranchKeep, transformerBlock, type Weights } from "./layers.ts";
import type { VitConfig } from "./vit_config.ts";

export interface BlockStackOptions extends Omit<BlockOptions, "keep" | "onQueries" | "onAttention"> {
  /** How many blocks there are. */
  readonly blocks: number;
  /** Drop path: factors per block; undefined for one that drops nothing. */
  readonly keep?: readonly (BranchKeep | undefined)[];
  /** Recompute the inside of every block, or of those that are named (0-based), in the backward pass instead of keeping it. */
  readonly recompute?: boolean | readonly number[];
  /** Receives the output of every block, and its attention module's packed queries, keys and values and output. */
  readonly observe?: (name: string, value: Tensor) => void;
}

/**
 * Transformer blocks one after the other on token rows `[R, D]`.
 *
 * @param prefix - of the blocks' parameters, such as `blocks` for `blocks.0.norm1.weight`
 * @returns the output of each block; the last is that of the stack
 */
export function blockStack(parameters: Weights, prefix: string, rows: Tensor, options: BlockStackOptions): Tensor[] {
  const { blocks, keep: keeps, recompute = false, observe, ...shared } = options;
  const outputs: Tensor[] = [];
  let x = rows;
  for (let j = 0; j < blocks; j++) {
    const name = `${prefix}.${j}`;
    const keep = keeps?.[j];
    const block = (value: Tensor): Tensor =>
      transformerBlock(parameters, name, value, {
        ...shared,
        ...(keep ? { keep } : {}),
        ...(observe
          ? {
              onQueries: (qkv: Tensor) => observe(`block.${j}.qkv`, qkv),
              onAttention: (output: Tensor) => observe(`block.${j}.attn`, output),
            }
          : {}),
      });
    const isRecomputed = typeof recompute === "boolean" ? recompute : recompute.includes(j);
    x = isRecomputed ? checkpoint(x.program, block, x, parametersOf(parameters, name)) : block(x);
    observe?.(`block.${j}`, x);
    outputs.push(x);
  }
  return outputs;
}

/** What of a model's config its blocks need to know. */
export function blockSizes({ kind, blocks, heads, epsilon, layerScale }: VitConfig) {
  return { kind, blocks, heads, epsilon, layerScale };
}

function parametersOf(parameters: Weights, block: string): Tensor[] {
  return [...parameters.tensors].filter(([name]) => name.startsWith(`${block}.`)).map(([, tensor]) => tensor);
}
