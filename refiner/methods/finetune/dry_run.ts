import type { Device } from "../../../engine/index.ts";
import { countParameters, VisionTransformer, type VitConfig } from "../../../models/index.ts";
import { fixedPart } from "../fixed_parts.ts";
import { plannedBytes } from "../plan_limits.ts";
import { type FinetuneConfig, mixesPairs } from "./finetune_config.ts";
import { FinetuneMethod } from "./finetune_method.ts";
import { decodedSide } from "./finetune_views.ts";
import type { FinetuneRules } from "./parameter_groups.ts";

/** What a fine-tuning is planned for. */
export interface FinetunePlanData {
  /** Number of training images. */
  readonly images: number;
  readonly classes: number;
  /** Whose rules hold beside the settings; default `fine-tuning`. */
  readonly rules?: FinetuneRules;
}

/** What a fine-tuning would take. */
export interface FinetunePlan {
  readonly parameters: number;
  /** Device memory in bytes, by kind. */
  readonly memory: {
    /** Encoder and head, and their moving average where there is one. */
    readonly weights: number;
    /** With the partial sums of a reproducible run. */
    readonly gradients: number;
    /** Both moments of AdamW. */
    readonly moments: number;
    /** The given encoder, which stays as it is. */
    readonly encoder: number;
    readonly activations: number;
    readonly inputs: number;
    readonly total: number;
  };
  /** Floating-point operations of one update. */
  readonly flopsPerUpdate: number;
  readonly updates: number;
  readonly microBatch: number;
}

/**
 * Plans a fine-tuning without allocating what it plans.
 *
 * @throws OverLimitError if a tensor is over the limits of the device, OptionError
 */
export function planFinetuning(
  device: Device,
  vit: VitConfig,
  config: FinetuneConfig,
  data: FinetunePlanData,
): FinetunePlan {
  const encoder = new VisionTransformer(device, vit);
  const side = decodedSide(config, vit);
  const classNames = Array.from({ length: data.classes }, (_, label) => String(label));
  const task = { images: data.images, rules: data.rules, imageBytes: 2 * side * side * vit.channels, classNames };
  const method = new FinetuneMethod(encoder, config, task);
  const { arenaBytes, inputBytes, flops, partialSumBytes } = method.plan;
  const { model, result } = method;
  const size = model.parameters.sizeBytes;
  const { trainedBytes } = method;
  const parts = {
    weights: size + (result === model ? 0 : size),
    gradients: trainedBytes + partialSumBytes,
    moments: 2 * trainedBytes,
    encoder: encoder.parameters.sizeBytes + encoder.positions.sizeBytes,
    activations: arenaBytes,
    inputs: inputBytes,
  };
  const plan = {
    parameters: countParameters(model.parameters.entries),
    memory: { ...parts, total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) },
    flopsPerUpdate: flops,
    updates: method.stages[0]?.updates ?? 0,
    microBatch: config.microBatch > 0 ? Math.min(config.microBatch, config.batch) : config.batch,
  };
  method.destroy();
  return plan;
}

/** The largest micro-batch whose plan fits into some memory, with blocks recomputed where none does otherwise. */
export function fittingMicroBatch(
  device: Device,
  vit: VitConfig,
  config: FinetuneConfig,
  data: FinetunePlanData,
  memoryBytes: number,
): { readonly microBatch: number; readonly recompute: boolean } | undefined {
  // Fixed parts decide over memory themselves.
  const least = fixedPart("finetune", { ...config, microBatch: 0 }, { multiple: mixesPairs(config) ? 2 : 1 });
  const powers = Array.from({ length: Math.floor(Math.log2(config.batch)) }, (_, i) => 2 ** (i + 1)).reverse();
  for (const recompute of config.recompute ? [true] : [false, true]) {
    for (const microBatch of least === undefined ? powers : [least]) {
      const bytes = plannedBytes(() => planFinetuning(device, vit, { ...config, microBatch, recompute }, data));
      if (bytes <= memoryBytes) return { microBatch, recompute };
    }
  }
  return undefined;
}
