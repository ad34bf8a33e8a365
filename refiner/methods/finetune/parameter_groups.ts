import type { Classifier } from "../../../models/index.ts";
import { trainedPositions } from "../../../models/index.ts";
import type { GroupOptions } from "../../training/optimizer.ts";
import { layerDecayFactor, learningRateAt, peakLearningRate, vtabLearningRateFactor } from "../../training/schedule.ts";
import type { TrainingStage } from "../../training/training_method.ts";
import type { FinetuneConfig } from "./finetune_config.ts";

/**
 * Whose rules a fine-tuning follows beside its settings. Fine-tuning as MAE's (`main_finetune.py`) trains the positions and decays
 * neither them nor the class token. VTAB-1k's (vtab1k-pytorch) leaves the positions, decays the class token, has a warm-up of a tenth
 * of all updates whatever `warmup` says, gives a post-norm encoder no norm of the head, and leaves no classifier file.
 */
export type FinetuneRules = "fine-tuning" | "vtab";

/** What decides over the learning rate and the weight decay of each parameter. */
export interface FinetuneGroupOptions {
  readonly layerDecay: number;
  readonly weightDecay: number;
  /** Share of the first blocks that stays as it is, with patch embedding, class token and positions. */
  readonly frozenShare: number;
  readonly protocol: FinetuneRules;
}

/** Blocks that a share freezes. */
export function frozenBlocks(frozenShare: number, blocks: number): number {
  return Math.floor(frozenShare * blocks);
}

/** Groups of the parameters of a classifier. Norm of the head and head learn at the full rate. */
export function finetuneGroups(model: Classifier, options: FinetuneGroupOptions): GroupOptions {
  const { layerDecay, weightDecay, frozenShare, protocol } = options;
  const { blocks } = model.config;
  const frozen = frozenBlocks(frozenShare, blocks);
  const tokens = protocol === "vtab" ? [] : ["cls_tokens.tokens", trainedPositions];
  return {
    weightDecay,
    isDecayed: (name, shape) => shape.length > 1 && !name.endsWith(".bias") && !tokens.includes(name),
    scaleOf: (name) => {
      const depth = model.depthOf(name);
      if (frozen > 0 && depth <= frozen) return 0;
      if (protocol === "vtab" && name === trainedPositions) return 0;
      return layerDecayFactor(layerDecay, depth, blocks);
    },
  };
}

/** Learning rate of the head, by the number of completed updates. */
export function finetuneRates(
  { learningRate, batch, warmup, endLearningRate }: FinetuneConfig,
  { updates, updatesPerEpoch }: TrainingStage,
  rules: FinetuneRules,
): (update: number) => number {
  const peak = peakLearningRate(learningRate, batch);
  if (rules === "vtab") return (update) => peak * vtabLearningRateFactor(update, updates);
  const warmupUpdates = Math.min(Math.round(warmup * updatesPerEpoch), updates);
  const schedule = { peak, warmupUpdates, totalUpdates: updates, end: endLearningRate };
  return (update) => learningRateAt(schedule, update);
}
