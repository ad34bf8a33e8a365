import { type Exchange, oneRank } from "../../exchange/exchange.ts";
import { GradientTree } from "../../training/gradient_tree.ts";
import type { ArenaOptimizer } from "../../training/optimizer.ts";
import { fixedPart } from "../fixed_parts.ts";
import type { RefineConfig } from "./refine_config.ts";
import type { StepSetup } from "./step.ts";

/** How the encoder's work on a batch is cut. */
export interface StageCut extends Pick<StepSetup, "parts"> {
  /** Images of one program. */
  readonly images: number;
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
  const isWhole = ranks === 1 && (microBatch === 0 || microBatch >= batch);
  if (size === undefined) return { images: microBatch === 0 || microBatch >= batch ? batch : microBatch };
  const parts = batch / size;
  const range = { from: (rank * parts) / ranks, to: ((rank + 1) * parts) / ranks };
  const tree = encoder && new GradientTree([encoder], parts, undefined, range);
  if (!isWhole) tree?.recordAll();
  return {
    images: isWhole ? batch : size,
    parts: { size, ...(tree ? { tree } : {}) },
  };
}
