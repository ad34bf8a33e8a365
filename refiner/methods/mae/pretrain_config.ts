import { z } from "zod";
import type { VitConfig } from "../../../models/index.ts";
import { vitConfig } from "../../../models/index.ts";
import { reproducibleSettings } from "../reproducible_settings.ts";
import { parseConfig } from "../setting_errors.ts";
import { workersSchema } from "../workers_setting.ts";

const count = z.int().min(1);
const notNegative = z.number().min(0);
const share = z.number().min(0).max(1);

/** Every setting of masked pre-training, flat. Defaults follow MAE (arXiv 2111.06377, table 8) for a ViT-Ti. */
export const pretrainSchema = z.strictObject({
  // Model
  kind: z.enum(["prenorm"]).describe("form of the blocks").default("prenorm"),
  pixels: count.describe("side of the images").default(224),
  patch: count.describe("side of a patch in pixels").default(16),
  width: count.describe("embedding width").default(192),
  blocks: count.describe("number of blocks").default(12),
  attentionHeads: count.describe("attention heads per block").default(3),
  mlpWidth: z.int().min(0).describe("hidden width of the MLP; 0: four times the width").default(0),
  layerScaleStart: notNegative
    .describe("start value of LayerScale's factors, such as 1e-5; 0: a model without them")
    .default(0),
  decoderWidth: count.describe("width of the decoder").default(128),
  decoderBlocks: count.describe("blocks of the decoder").default(4),
  decoderHeads: count.describe("attention heads of the decoder").default(4),
  // Task
  maskRatio: z.number().gt(0).lt(1).describe("share of the patches that is removed").default(0.75),
  normalizePixels: z
    .enum(["none", "unbiased", "biased"])
    .describe("normalisation of the target patches")
    .default("unbiased"),
  area: z.tuple([share, share]).describe("share of the area that a crop covers").default([0.2, 1]),
  flip: share.describe("probability of mirroring").default(0.5),
  // Schedule
  batch: count.describe("images per update").default(256),
  epochs: notNegative.describe("passes over the images").default(400),
  warmup: notNegative.describe("warm-up epochs").default(20),
  learningRate: z.number().positive().describe("learning rate per 256 images").default(1.5e-4),
  endLearningRate: notNegative.describe("learning rate at the end").default(0),
  weightDecay: notNegative.describe("weight decay").default(0.05),
  beta1: share.describe("AdamW, first moment").default(0.9),
  beta2: share.describe("AdamW, second moment").default(0.95),
  precision: z
    .enum(["f32", "f16"])
    .describe("number format of activations; f16 takes about half of their memory and needs shader-f16")
    .default("f32"),
  // Data and checkpoints
  seed: z.int().min(0).describe("seed of all random numbers").default(0),
  ...reproducibleSettings,
  resizeTo: z
    .int()
    .min(0)
    .describe("shorter side to which images are reduced while decoding; 0: twice the image side")
    .default(0),
  enlarge: z.boolean().describe("take images that are all smaller than the views").default(false),
  maxBad: share.describe("share of broken images that is tolerated").default(0.01),
  workers: workersSchema,
  prefetch: z.int().min(0).describe("batches decoded ahead").default(2),
  checkpointEvery: z.number().positive().describe("epochs between checkpoints").default(1),
  checkpointMinutes: z.number().positive().describe("minutes between checkpoints").default(10),
});

export type PretrainConfig = z.output<typeof pretrainSchema>;
export type PretrainSettings = z.input<typeof pretrainSchema>;

/** @throws SettingsError that shows each wrong value with what was expected, and for an unknown key the nearest valid one */
export function pretrainConfig(settings: Readonly<Record<string, unknown>> = {}): PretrainConfig {
  return parseConfig(pretrainSchema, settings, "pretrain");
}

/** The encoder that the settings describe. @throws OptionError, ShapeError */
export function pretrainModel(config: PretrainConfig, channels: 1 | 3): VitConfig {
  return vitConfig({
    kind: config.kind,
    patchPixels: config.patch,
    width: config.width,
    blocks: config.blocks,
    heads: config.attentionHeads,
    channels,
    heightPixels: config.pixels,
    widthPixels: config.pixels,
    ...(config.mlpWidth > 0 ? { mlpWidth: config.mlpWidth } : {}),
    ...(config.layerScaleStart > 0 ? { layerScale: "parameters" } : {}),
  });
}
