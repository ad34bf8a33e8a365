import { z } from "zod";
import { publishedRates } from "./probe_grid.ts";

const count = z.int().min(1);

/** Every setting of a linear probe. Defaults are the published ones (MIM-Refiner, arXiv 2402.10093) except for the selection. */
export const linearProbeSchema = z.strictObject({
  batch: z.int().min(2).describe("images per update; peak rate = base rate · batch / 256").default(1024),
  epochs: count.describe("passes over the images").default(50),
  rates: z
    .array(z.number().gt(0))
    .min(1)
    .describe("base learning rates of the grid, for 256 images")
    .default([...publishedRates]),
  sources: z
    .array(z.enum(["last1", "last4"]))
    .min(1)
    .describe("what heads read: the final output, the raw last four blocks, or both")
    .default(["last1", "last4"]),
  pooling: z
    .enum(["cls", "avg"])
    .optional()
    .describe("what stands beside the class token joined with the mean over patches"),
  fit: z
    .enum(["crop", "squash"])
    .describe("how an image comes to the model's size outside of training: cropped in the centre, or squashed to it")
    .default("crop"),
  cache: z
    .boolean()
    .describe("encode every training image once, without augmentation, instead of a fresh view in every epoch")
    .default(false),
  select: z
    .enum(["held-out", "test"])
    .describe(
      "which images choose head and epoch: a held-out part of the training images, or the test images as published",
    )
    .default("held-out"),
  holdOut: z.number().gt(0).lt(1).describe("share of the training images that is held out; of each class").default(0.1),
  seed: z.int().min(0).describe("seed of all random numbers").default(0),
  prefetch: z.int().min(0).describe("batches decoded ahead").default(2),
  maxBad: z.number().min(0).max(1).describe("share of broken images that is tolerated").default(0.01),
  checkpointEvery: z.number().positive().describe("epochs between checkpoints").default(1),
  checkpointMinutes: z.number().positive().describe("minutes between checkpoints").default(10),
});
export type LinearProbeConfig = z.output<typeof linearProbeSchema>;

/** Names of {@link probePreset}. */
export const probePresets = ["paper", "small", "inat", "vtab6"] as const;
export type ProbePreset = (typeof probePresets)[number];

/** Of the paper's batch: fewer updates per epoch than this, and warm-up and cosine are a handful of steps. */
const fewestUpdates = 10;
const largestSmallBatch = 128;

/** What is used where no preset is given. */
export function defaultProbePreset(trainImages: number): ProbePreset {
  return trainImages >= fewestUpdates * 1024 ? "paper" : "small";
}

/**
 * Settings to begin with. `paper`: ImageNet in the paper. `inat`: iNaturalist 2018 there, four rates on the last four blocks.
 * `vtab6`: the six smaller sets there.
 * `small` (ours): the paper's epochs with the largest power of two as batch, up to 128, that gives ten updates an epoch.
 */
export function probePreset(name: ProbePreset, trainImages: number): Partial<LinearProbeConfig> {
  const presets = {
    paper: { batch: 1024, epochs: 50 },
    inat: { batch: 256, epochs: 50, rates: [1e-3, 2e-3, 5e-3, 0.01], sources: ["last4"] },
    vtab6: { batch: 256, epochs: 50 },
    small: { batch: smallBatch(trainImages), epochs: 50 },
  } satisfies Record<ProbePreset, Partial<LinearProbeConfig>>;
  return presets[name];
}

function smallBatch(images: number): number {
  const power = 2 ** Math.floor(Math.log2(Math.max(1, images / fewestUpdates)));
  return Math.min(largestSmallBatch, Math.max(2, power));
}
