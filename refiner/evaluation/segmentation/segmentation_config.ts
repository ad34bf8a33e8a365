import { z } from "zod";
import { segmentationRates } from "./segmentation_grid.ts";

const count = z.int().min(1);

/** Every setting of a segmentation probe. Defaults are the published ones (MIM-Refiner, arXiv 2402.10093) except for the selection. */
export const segmentationSchema = z.strictObject({
  batch: z.int().min(2).describe("images per update; peak rate = base rate · batch / 256").default(16),
  epochs: count.describe("passes over the images").default(50),
  rates: z
    .array(z.number().gt(0))
    .min(1)
    .describe("base learning rates of the grid, for 256 images")
    .default([...segmentationRates]),
  testEvery: count.describe("epochs between tests; the last epoch is always tested").default(10),
  stride: count
    .optional()
    .describe("pixels between the windows that images are tested in (default: 170/224 of a window's side)"),
  select: z
    .enum(["held-out", "test"])
    .describe(
      "which images choose head and epoch: a held-out part of the training images, or the test images as published",
    )
    .default("held-out"),
  holdOut: z.number().gt(0).lt(1).describe("share of the training images that is held out").default(0.1),
  seed: z.int().min(0).describe("seed of all random numbers").default(0),
  prefetch: z.int().min(0).describe("batches decoded ahead").default(2),
  maxBad: z.number().min(0).max(1).describe("share of broken images that is tolerated").default(0.01),
  checkpointEvery: z.number().positive().describe("epochs between checkpoints").default(1),
  checkpointMinutes: z.number().positive().describe("minutes between checkpoints").default(10),
});
export type SegmentationConfig = z.output<typeof segmentationSchema>;

/** Names of {@link segmentationPreset}. */
export const segmentationPresets = ["paper", "small"] as const;
export type SegmentationPreset = (typeof segmentationPresets)[number];

const paperBatch = 16;
/** Fewer updates per epoch than this, and warm-up and cosine are a handful of steps. */
const fewestUpdates = 10;

/** What is used where no preset is given. */
export function defaultSegmentationPreset(trainImages: number): SegmentationPreset {
  return trainImages >= fewestUpdates * paperBatch ? "paper" : "small";
}

/** Settings to begin with. `paper`: ADE20K in the paper. `small` (ours): the largest power of two as batch that gives ten updates an epoch. */
export function segmentationPreset(name: SegmentationPreset, trainImages: number): Partial<SegmentationConfig> {
  if (name === "paper") return { batch: paperBatch };
  const power = 2 ** Math.floor(Math.log2(Math.max(1, trainImages / fewestUpdates)));
  return { batch: Math.min(paperBatch, Math.max(2, power)) };
}
