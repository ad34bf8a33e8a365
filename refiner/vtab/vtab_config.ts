import { z } from "zod";
import { OptionError } from "../../engine/index.ts";
import { type VitConfig, vitPresets } from "../../models/index.ts";
import { type FinetuneConfig, finetuneConfig, finetuneSchema } from "../methods/finetune/finetune_config.ts";
import { parseConfig } from "../methods/setting_errors.ts";

const count = z.int().min(1);
const { frozenShare, layerDecay, weightDecay, microBatch, recompute, precision, prefetch, checkpointMinutes } =
  finetuneSchema.shape;

/** Every setting of VTAB-1k. Defaults are those of vtab1k-pytorch, as MIM-Refiner (arXiv 2402.10093) is evaluated. */
export const vtabSchema = z.strictObject({
  learningRates: z
    .array(z.number().gt(0))
    .min(1)
    .describe("learning rates that are searched; not scaled with the batch")
    .default([1e-3, 7.5e-4, 5e-4, 2.5e-4, 1e-4]),
  seeds: count.describe("runs per learning rate, and of the chosen one; their mean counts").default(5),
  epochs: count.describe("passes over the images").default(50),
  batch: count.describe("images per update").default(64),
  layerDecay,
  weightDecay,
  frozenShare,
  microBatch,
  recompute,
  precision,
  seed: z.int().min(0).describe("seed of the first run; the others count on").default(0),
  prefetch,
  maxBad: z.number().min(0).max(1).describe("share of broken images that is tolerated").default(0.01),
  checkpointMinutes,
});
export type VtabConfig = z.output<typeof vtabSchema>;

/** Names of {@link vtabPreset}. */
export const vtabPresets = ["paper", "small"] as const;
export type VtabPreset = (typeof vtabPresets)[number];

/**
 * Settings to begin with. `paper`: the published ones, in which 2B/14 keeps its first six blocks frozen. `small` (ours): 6 short runs
 * a task instead of 30, for a first look and for lists that are shorter than the published ones.
 */
export function vtabPreset(name: VtabPreset, { width, blocks, patchPixels }: VitConfig): Partial<VtabConfig> {
  if (name === "small") return { learningRates: [1e-3, 2.5e-4], seeds: 2, epochs: 20, batch: 16 };
  const { twob14 } = vitPresets;
  const isLargest = width === twob14.width && blocks === twob14.blocks && patchPixels === twob14.patchPixels;
  return isLargest ? { frozenShare: 0.25 } : {};
}

/**
 * A complete configuration.
 *
 * @throws SettingsError that shows each wrong value with what was expected; OptionError for a rate that is given twice
 */
export function vtabConfig(settings: Readonly<Record<string, unknown>> = {}): VtabConfig {
  const config = parseConfig(vtabSchema, settings, "vtab");
  const { learningRates: rates } = config;
  const twice = rates.find((rate, i) => rates.indexOf(rate) !== i);
  if (twice !== undefined)
    throw new OptionError(`vtab: the learning rate ${twice} is given twice; each is searched once, so give it once`);
  return config;
}

/** The fine-tuning of one run: no augmentation of any kind, class token, one test after the last epoch. */
export function vtabFinetuning(
  config: VtabConfig,
  { rate, seed, pixels }: { readonly rate: number; readonly seed: number; readonly pixels: number },
): FinetuneConfig {
  const { learningRates: _, seeds: __, batch, epochs, ...shared } = config;
  return finetuneConfig({
    ...shared,
    ...{ batch, epochs, seed, pixels },
    learningRate: (rate * 256) / batch, // which fine-tuning multiplies by batch / 256
    ...{ dropPath: 0, area: [1, 1], flip: 0, randAugment: 0, erase: 0, labelSmoothing: 0, mixup: 0, cutmix: 0 },
    ...{ enlarge: true, workers: 0, testEvery: 0, checkpointEvery: epochs },
  });
}
