import { z } from "zod";
import { OptionError } from "../../../engine/index.ts";
import { type VitConfig, vitPresets } from "../../../models/index.ts";
import { reproducibleSettings } from "../reproducible_settings.ts";
import { parseConfig } from "../setting_errors.ts";
import { workersSchema } from "../workers_setting.ts";

const share = z.number().min(0).max(1);
const count = z.int().min(1);
const positive = z.number().positive();
const notNegative = z.number().min(0);

/**
 * Every setting of fine-tuning, flat. Defaults are those of MIM-Refiner's full fine-tuning of an L/16 (arXiv 2402.10093, appendix B;
 * its published configurations).
 */
export const finetuneSchema = z.strictObject({
  // Model
  pooling: z.enum(["cls", "avg"]).describe("what the head sees: class token or mean patch").default("cls"),
  frozenShare: share
    .describe("share of the first blocks that stays frozen; with patch embedding, class token and positions")
    .default(0),
  dropPath: z
    .number()
    .min(0)
    .max(0.9)
    .describe("probability of the last block's branches to be dropped; it falls evenly to 0 at the first block")
    .default(0.2),
  dropPathCount: z
    .enum(["exact", "as-published"])
    .describe(
      "samples that keep a branch: exact is the same number in every batch, as-published draws them one by one where that is off by more than 1 %",
    )
    .default("exact"),
  ema: z
    .number()
    .min(0)
    .lt(1)
    .describe("factor of the encoder's moving average; it is tested and written then. 0: none")
    .default(0),
  // Images
  pixels: z.int().min(0).describe("side of the images; 0: the model's resolution").default(0),
  area: z.tuple([share, share]).describe("share of the area that a crop covers").default([0.08, 1]),
  flip: share.describe("probability of mirroring").default(0.5),
  randAugment: z.int().min(0).max(8).describe("operations of RandAugment on each image; 0: none").default(2),
  randAugmentMagnitude: share.describe("mean magnitude of RandAugment's operations").default(0.9),
  erase: share.describe("probability of erasing a box of an image").default(0.25),
  labelSmoothing: share.describe("share of a target that is spread over all classes").default(0.1),
  mixup: notNegative.describe("α of mixup, which blends pairs of images; 0: none").default(0.8),
  cutmix: notNegative
    .describe("α of CutMix, which cuts a box out of another image; 0: none. With mixup each is for half of the batches")
    .default(1),
  // Batches and schedule
  batch: count.describe("images per update").default(1024),
  microBatch: z.int().min(0).describe("images encoded at once; 0: the whole batch. The result is the same").default(0),
  recompute: z
    .boolean()
    .describe("recompute blocks in the backward pass instead of keeping them: less memory, more time")
    .default(false),
  epochs: positive.describe("passes over the images").default(50),
  warmup: notNegative.describe("warm-up epochs").default(5),
  learningRate: positive.describe("learning rate per 256 images; of the head, where it is highest").default(1e-3),
  endLearningRate: notNegative.describe("learning rate at the end").default(0),
  layerDecay: positive.max(1).describe("factor on the learning rate from block to block").default(0.75),
  weightDecay: notNegative.describe("weight decay").default(0.05),
  beta1: share.describe("AdamW, first moment").default(0.9),
  beta2: share.describe("AdamW, second moment").default(0.999),
  adamEpsilon: positive.describe("AdamW, added to the root of the second moment").default(1e-8),
  precision: z
    .enum(["f32", "f16"])
    .describe("number format of activations; f16 takes about half of their memory and needs shader-f16")
    .default("f32"),
  // Data, evaluation, checkpoints
  seed: z.int().min(0).describe("seed of all random numbers").default(0),
  ...reproducibleSettings,
  resizeTo: z
    .int()
    .min(0)
    .describe("shorter side to which images are reduced while decoding; 0: twice the side of the images")
    .default(0),
  enlarge: z.boolean().describe("take images that are all smaller than the views").default(false),
  maxBad: share.describe("share of broken images that is tolerated").default(0.01),
  workers: workersSchema,
  prefetch: z.int().min(0).describe("batches decoded ahead").default(2),
  testEvery: notNegative.describe("epochs between tests; 0: only in the end").default(1),
  checkpointEvery: positive.describe("epochs between checkpoints").default(1),
  checkpointMinutes: positive.describe("minutes between checkpoints").default(10),
});

/** A complete configuration. */
export type FinetuneConfig = z.output<typeof finetuneSchema>;
/** What a user sets; the rest is default. */
export type FinetuneSettings = z.input<typeof finetuneSchema>;

const unmixed = { mixup: 0, cutmix: 0 } as const;
/** Crops and mirroring alone. */
const plainViews = { ...unmixed, randAugment: 0, erase: 0 } as const;
/** H/14 and 2B/14 with 10 % of the labels: the full augmentation. */
const largeTenPercent: FinetuneSettings = {
  mixup: 0.8,
  cutmix: 1,
  erase: 0.25,
  dropPath: 0.2,
  batch: 256,
  learningRate: 1e-3,
};

/** What a recipe changes for one size of encoder, beside what it sets for all. */
interface Recipe {
  readonly all: FinetuneSettings;
  readonly sizes: Readonly<Partial<Record<keyof typeof vitPresets, FinetuneSettings>>>;
}

/**
 * Published recipes by name (arXiv 2402.10093, appendix B and its configurations) and one for small image sets. Sizes that a
 * recipe was not published for take what it sets for all; B/16 has MAE's drop path (arXiv 2111.06377, table 9).
 */
const recipes: Readonly<Record<string, Recipe>> = {
  /** All labels. */
  paper: {
    all: {},
    sizes: { ti16: { dropPath: 0.1 }, s16: { dropPath: 0.1 }, b16: { dropPath: 0.1 }, h14: { dropPath: 0.3 } },
  },
  /** 1 % of the labels. */
  paper_1percent: {
    all: { ...plainViews, dropPath: 0, batch: 512, learningRate: 3e-5 },
    sizes: { h14: { weightDecay: 0.4 }, twob14: { weightDecay: 0.4 } },
  },
  /** 10 % of the labels. */
  paper_10percent: {
    all: { ...unmixed, erase: 0, dropPath: 0, batch: 512, learningRate: 3e-5 },
    sizes: { h14: largeTenPercent, twob14: { ...largeTenPercent, frozenShare: 0.25 } },
  },
  /** 1, 2 or 5 images of each class. */
  paper_lowshot: {
    all: { ...plainViews, dropPath: 0, batch: 125, learningRate: 1e-4 },
    sizes: { l16: { batch: 250 }, twob14: { frozenShare: 0.25 } },
  },
  /** 5 or 10 images of each class. */
  paper_shots: { all: { ...plainViews, dropPath: 0, batch: 256 }, sizes: { twob14: { frozenShare: 0.25 } } },
  small: {
    all: { ...plainViews, dropPath: 0.1, batch: 64, epochs: 20, warmup: 2, learningRate: 4e-3, area: [0.4, 1] },
    sizes: {},
  },
};

export const finetunePresets: readonly string[] = Object.keys(recipes);

/**
 * The settings of a preset for an encoder.
 *
 * @throws OptionError for an unknown preset
 */
export function finetunePreset(preset: string, { width, blocks, patchPixels }: VitConfig): FinetuneSettings {
  const recipe = Object.hasOwn(recipes, preset) ? recipes[preset] : undefined;
  if (!recipe)
    throw new OptionError(`finetune: there is no preset ${preset}; choose from ${finetunePresets.join(", ")}`);
  const size = Object.entries(vitPresets).find(
    ([, one]) => one.width === width && one.blocks === blocks && one.patchPixels === patchPixels,
  )?.[0];
  const own = Object.entries(recipe.sizes).find(([name]) => name === size)?.[1];
  return { ...recipe.all, ...own };
}

/**
 * A complete configuration.
 *
 * @throws SettingsError that shows each wrong value with what was expected, and for an unknown key the nearest valid one;
 *   OptionError for pairs of images that a batch or micro-batch cannot hold
 */
export function finetuneConfig(settings: Readonly<Record<string, unknown>> = {}): FinetuneConfig {
  const config = parseConfig(finetuneSchema, settings, "finetune");
  const { batch, microBatch } = config;
  if (mixesPairs(config) && (batch % 2 !== 0 || microBatch % 2 !== 0))
    throw new OptionError(
      `finetune: mixup and CutMix work on pairs of images, but batch is ${batch} and microBatch ${microBatch}; give even numbers, or turn both off (mixup 0, cutmix 0)`,
    );
  return config;
}

/** Whether images are mixed in pairs. */
export function mixesPairs({ mixup, cutmix }: Pick<FinetuneConfig, "mixup" | "cutmix">): boolean {
  return mixup > 0 || cutmix > 0;
}
