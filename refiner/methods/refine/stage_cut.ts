import { type Exchange, oneRank } from "../../exchange/exchange.ts";
import { GradientTree } from "../../training/gradient_tree.ts";
import type { ArenaOptimizer } from "../../training/optimizer.ts";
import { fixedPart } from "../fixed_parts.ts";
import type { PartSizes } from "./planning/part_within_limits.ts";
import type { RefineConfig } from "./refine_config.ts";
import type { StepSetup } from "./step.ts";

/** How the encoder's work on a batch is cut. */
export interface StageCut extends Pick<StepSetup, "parts"> {
  /** Of one program. */
  readonly sizes: PartSizes;
  /** Images of the batch that this process encodes. */
  readonly count: number;
}

/**
 * Micro-batches as they are set; where gradients are summed over fixed parts, parts instead, so that the size of the micro-batch
 * decides no bit.
 *
 * @throws OptionError for sizes that do not go together
 */
export function stageCut(
  config: RefineConfig,
  encoder: ArenaOptimizer | undefined,
  { rank, size: ranks }: Pick<Exchange, "rank" | "size"> = oneRank,
): StageCut {
  const { batch, microBatch } = config;
  const size = fixedPart("refine", config, { ranks });
  const count = batch / ranks;
  const isSet = microBatch > 0;
  if (size === undefined) return { sizes: { first: Math.min(microBatch || batch, count), isSet }, count };
  const isWhole = ranks === 1 && (microBatch === 0 || microBatch >= batch);
  const parts = batch / size;
  const range = { from: (rank * parts) / ranks, to: ((rank + 1) * parts) / ranks };
  const tree = encoder && new GradientTree([encoder], parts, undefined, range);
  return {
    sizes: { first: isWhole ? batch : size, isSet, fixed: size },
    count,
    parts: { size, ...(tree ? { tree } : {}) },
  };
}
