import { z } from "zod";
import { OptionError } from "../../../engine/index.ts";
import { type VitConfig, vitConfig, vitPresets } from "../../../models/index.ts";
import { reproducibleSettings } from "../reproducible_settings.ts";
import { parseConfig } from "../setting_errors.ts";
import { workersSchema } from "../workers_setting.ts";

const share = z.number().min(0).max(1);
const count = z.int().min(1);
const positive = z.number().positive();
const notNegative = z.number().min(0);

/**
 * Every setting of a refinement, flat: each key is also an option of the command (`topK` is `--top-k`) and a key of its
 * configuration file. Defaults are those of the published L/16 models (arXiv 2402.10093, appendix B).
 */
export const refineSchema = z.strictObject({
  // Heads
  heads: z
    .array(z.union([z.int().min(0), z.literal("last")]))
    .min(1)
    .describe("blocks (0-based) with a head, and last")
    .default(["last"]),
  pooling: z.enum(["cls", "avg"]).describe("what stands for an image: class token or mean patch").default("cls"),
  projectorWidth: count.describe("hidden width of the projector").default(2048),
  predictorWidth: count.describe("hidden width of the predictor").default(4096),
  outputWidth: count.describe("width of projections").default(256),
  queueLength: count.describe("entries of each head's queue").default(65536),
  // Loss
  temperature: positive.describe("temperature of the loss").default(0.2),
  stage2TopK: z.int().min(1).max(256).describe("neighbours to choose among in stage 2").default(1),
  topK: z.int().min(1).max(256).describe("neighbours to choose among in stage 3").default(20),
  swap: z.enum(["positives", "all", "none"]).describe("which rows the neighbours replace").default("positives"),
  oracle: z.boolean().describe("neighbours of the same class only (needs labels)").default(false),
  localViewsAsPublished: z.boolean().describe("index local views as the published code does").default(false),
  // Batches and schedule
  batch: count.describe("images per update").default(1024),
  microBatch: z
    .int()
    .min(0)
    .describe(
      "images encoded at once; 0: the whole batch, or as many as the limits of the device allow. The result is the same",
    )
    .default(0),
  recompute: z
    .boolean()
    .describe("recompute blocks in the backward pass instead of keeping them: less memory, more time")
    .default(false),
  recomputeBlocks: z
    .int()
    .min(0)
    .describe("how many of the trained blocks are recomputed, the first ones; all of them with recompute")
    .default(0),
  offload: z
    .array(z.enum(["auto", "moments", "average", "weights"]))
    .describe(
      "state that lies in host memory and passes through the device once per update: moments of AdamW, average of the encoder, and with precision f16 its f32 weights, of which products need f16 forms only; auto: what makes the fastest update that fits into --memory, with micro-batch and recomputed blocks. The result is the same",
    )
    .default([]),
  teacherFactor: share
    .describe("EMA teacher for the neighbours, share kept per update; 0: none (published)")
    .default(0),
  stage2Epochs: notNegative.describe("epochs that train the heads only").default(20),
  stage2Warmup: notNegative.describe("warm-up epochs of stage 2").default(4),
  stage2LearningRate: positive.describe("learning rate of stage 2 per 256 images").default(2e-4),
  stage3Epochs: notNegative.describe("epochs that train encoder and heads").default(30),
  stage3Warmup: notNegative.describe("warm-up epochs of stage 3").default(4),
  stage3LearningRate: positive.describe("learning rate of stage 3 per 256 images").default(4e-4),
  endLearningRate: notNegative.describe("learning rate at the end; of both stages").default(1e-6),
  layerDecay: positive.max(1).describe("factor on the learning rate from block to block").default(0.65),
  encoderWeightDecay: notNegative.describe("weight decay of the encoder").default(0.05),
  headWeightDecay: notNegative.describe("weight decay of the heads").default(1e-5),
  beta1: share.describe("AdamW, first moment").default(0.9),
  beta2: share.describe("AdamW, second moment").default(0.95),
  adamEpsilon: positive.describe("AdamW, added to the root of the second moment").default(1e-8),
  ema: share.describe("factor of the encoder's moving average").default(0.9999),
  frozenShare: share.describe("share of the first blocks that stays frozen").default(0),
  // Views
  globalPixels: z.int().min(0).describe("side of global views; 0: the model's resolution").default(0),
  localPixels: z.int().min(0).describe("side of local views; 0: 3/7 of the global ones, in whole patches").default(0),
  localViews: z.int().min(0).describe("number of local views").default(10),
  globalArea: z.tuple([share, share]).describe("share of the area that a global view covers").default([0.25, 1]),
  localArea: z.tuple([share, share]).describe("share of the area that a local view covers").default([0.05, 0.25]),
  flip: share.describe("probability of mirroring").default(0.5),
  jitter: share.describe("probability of colour jitter").default(0.8),
  brightness: notNegative.describe("strength of brightness jitter").default(0.4),
  contrast: notNegative.describe("strength of contrast jitter").default(0.4),
  saturation: notNegative.describe("strength of saturation jitter").default(0.2),
  hue: z.number().min(0).max(0.5).describe("strength of hue jitter, in turns").default(0.1),
  greyscale: share.describe("probability of greyscale").default(0.2),
  solarise: share.describe("probability of solarising the second global view").default(0.2),
  blur: z
    .tuple([share, share, share])
    .describe("probability of blur: first global, second global, local")
    .default([1, 0.1, 0.5]),
  blurSigma: z.tuple([notNegative, notNegative]).describe("blur in pixels").default([0.1, 2]),
  // Data, evaluation, checkpoints
  seed: z.int().min(0).describe("seed of all random numbers").default(0),
  ...reproducibleSettings,
  precision: z
    .enum(["f32", "f16"])
    .describe("number format of the encoder's activations; f16 takes about half of their memory and needs shader-f16")
    .default("f32"),
  resizeTo: z
    .int()
    .min(0)
    .describe("shorter side to which images are reduced while decoding; 0: twice the global views")
    .default(0),
  enlarge: z.boolean().describe("take images that are all smaller than the views").default(false),
  maxBad: share.describe("share of broken images that is tolerated").default(0.01),
  workers: workersSchema,
  prefetch: z.int().min(0).describe("batches decoded ahead").default(2),
  evalEvery: notNegative.describe("epochs between k-NN evaluations; 0: only before and after").default(0),
  k: count.describe("neighbours of the k-NN evaluation").default(20),
  kTemperature: positive.describe("temperature of the k-NN vote").default(0.07),
  checkpointEvery: positive.describe("epochs between checkpoints").default(1),
  checkpointMinutes: positive.describe("minutes between checkpoints").default(10),
});

/** A complete configuration. */
export type RefineConfig = z.output<typeof refineSchema>;
/** What a user sets; the rest is default. */
export type RefineSettings = z.input<typeof refineSchema>;

const large = { projectorWidth: 2048, predictorWidth: 4096, outputWidth: 256, queueLength: 65536 } as const;
const range = (from: number, to: number): (number | "last")[] => [
  ...Array.from({ length: to - from + 1 }, (_, i) => from + i),
  "last",
];
const l16 = { ...large, heads: range(16, 22), temperature: 0.2, batch: 1024 };
const h14 = { ...large, heads: range(20, 30), temperature: 0.3, batch: 512 };

/** Published recipes (arXiv 2402.10093, appendix B) and one for small image sets (measured, README). */
export const refinePresets: Readonly<Record<string, RefineSettings>> = {
  mae_l16: l16,
  dbot_l16: l16,
  d2v2_l16: { ...l16, stage3Epochs: 20 },
  crossmae_l16: { ...l16, pooling: "avg" },
  mae_h14: h14,
  dbot_h14: h14,
  d2v2_h14: { ...h14, stage3Epochs: 20 },
  mae_twob14: { ...l16, temperature: 0.35, batch: 512, stage3Epochs: 20, frozenShare: 0.25 },
  small: {
    projectorWidth: 256,
    predictorWidth: 512,
    outputWidth: 128,
    queueLength: 4096,
    batch: 128,
    stage2Epochs: 2,
    stage2Warmup: 0.5,
    stage2LearningRate: 2e-3,
    stage3Epochs: 5,
    stage3Warmup: 0.5,
    stage3LearningRate: 2e-3,
    layerDecay: 0.85,
    ema: 0.99,
    localViews: 0,
    globalArea: [0.4, 1],
    jitter: 0.8,
    saturation: 0,
    hue: 0,
    greyscale: 0,
    solarise: 0,
    blur: [0.5, 0.5, 0],
    blurSigma: [0.1, 1],
  },
};

/** The encoder that a preset was published for, which its name tells; undefined for one of any encoder. */
export function presetEncoder(preset: string): VitConfig | undefined {
  const [method, size] = preset.split("_");
  const sizes = Object.entries(vitPresets).find(([name]) => name === size)?.[1];
  return sizes && vitConfig(sizes, method === "d2v2" ? { kind: "postnorm" } : {});
}

/** The settings of a preset; undefined for any other name, such as that of a member of every object. */
export function findPreset(name: string): RefineSettings | undefined {
  return Object.hasOwn(refinePresets, name) ? refinePresets[name] : undefined;
}

/**
 * A complete configuration from a preset and settings, later ones winning.
 *
 * @throws SettingsError that shows each wrong value with what was expected, and for an unknown key the nearest valid one;
 *   OptionError for an unknown preset
 */
export function refineConfig(settings: Readonly<Record<string, unknown>> = {}, preset?: string): RefineConfig {
  const base = preset === undefined ? {} : findPreset(preset);
  if (!base) {
    throw new OptionError(`refine: no preset ${preset}; choose from ${Object.keys(refinePresets).join(", ")}`);
  }
  return parseConfig(refineSchema, { ...base, ...settings }, "refine");
}
