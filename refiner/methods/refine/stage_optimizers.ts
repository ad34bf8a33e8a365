import { StagingRoom } from "../../training/offload/streamed_step.ts";
import { ArenaOptimizer, type OffloadedState } from "../../training/optimizer.ts";
import { layerDecayFactor } from "../../training/schedule.ts";
import type { RefineConfig } from "./refine_config.ts";
import type { RefinerModel } from "./refiner_model.ts";

/** Device memory that the state on the host passes through, if there is such state. */
export function stagingRoom(
  { device, headParameters, encoder }: RefinerModel,
  { moments, average, weights }: { readonly moments: boolean; readonly average: boolean; readonly weights: boolean },
): StagingRoom | undefined {
  const arrays = (moments ? 2 : 0) + (average ? 1 : 0) + (weights ? 1 : 0);
  if (arrays === 0) return undefined;
  const arenas = moments ? [headParameters, encoder.parameters] : [encoder.parameters];
  const largest = Math.max(...arenas.flatMap(({ chunks }) => chunks.map(({ size }) => size)));
  return new StagingRoom(device, arrays, largest);
}

/** Blocks that stay frozen are the first ones. */
function frozenBlocks({ frozenShare }: Pick<RefineConfig, "frozenShare">, blocks: number): number {
  return Math.floor(frozenShare * blocks);
}

/** The blocks (0-based) that are trained, in their order. */
export function trainedBlocks(config: Pick<RefineConfig, "frozenShare">, blocks: number): number[] {
  const frozen = frozenBlocks(config, blocks);
  return Array.from({ length: blocks - frozen }, (_, i) => frozen + i);
}

/**
 * Blocks that are recomputed in the backward pass: the first of those that are trained, since that pass comes to them last, when it
 * has used up what the others keep.
 */
export function recomputedBlocks(
  config: Pick<RefineConfig, "frozenShare" | "recompute" | "recomputeBlocks">,
  blocks: number,
): number[] {
  const trained = trainedBlocks(config, blocks);
  return config.recompute ? trained : trained.slice(0, config.recomputeBlocks);
}

/** AdamW over the encoder, with a learning rate that decays towards its first blocks; frozen ones have none. */
export function encoderOptimizer(
  model: RefinerModel,
  config: RefineConfig,
  offloaded: OffloadedState | undefined,
): ArenaOptimizer {
  const { blocks } = model.encoder.config;
  const frozen = frozenBlocks(config, blocks);
  const scaleOf = (name: string): number => {
    const depth = model.encoder.depthOf(name);
    return frozen > 0 && depth <= frozen ? 0 : layerDecayFactor(config.layerDecay, depth, blocks);
  };
  return new ArenaOptimizer(model.encoder.parameters, { weightDecay: config.encoderWeightDecay, scaleOf }, offloaded);
}
