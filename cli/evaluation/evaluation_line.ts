import { z } from "zod";
import type { PublishedDataSet } from "../../refiner/index.ts";

/** One measured number. */
const scoreSchema = z.strictObject({
  /** Such as `accuracy`, or `accuracy, block 3`. */
  name: z.string(),
  /** Shares are 0 … 1. */
  value: z.number(),
  /** Of the mean over test images; null where the protocol gives none. */
  standardError: z.number().nullable(),
  /** Test images behind it; null where it is not a mean over images. */
  images: z.int().nullable(),
});
export type Score = z.output<typeof scoreSchema>;

/** What was chosen, and by looking at which images: a number that was chosen on the test images is too good. */
const selectionSchema = z.strictObject({
  on: z.enum(["nothing", "held-out training images", "test images"]),
  text: z.string(),
});
export type Selection = z.output<typeof selectionSchema>;

/** The main number with one setting changed at a time, from the same features. */
const sensitivitySchema = z.strictObject({
  /** The score that is compared. */
  of: z.string(),
  /** With the settings of the receipt. */
  base: z.number(),
  variants: z.array(z.strictObject({ setting: z.string(), value: z.string(), score: z.number() })),
  /** Of the base and all variants. */
  smallest: z.number(),
  largest: z.number(),
});

/** Settings that a named preset began with; what was used of them stands among the settings. */
const presetSchema = z.strictObject({ name: z.string(), sets: z.record(z.string(), z.unknown()) });
export type UsedPreset = z.output<typeof presetSchema>;

/** A set of images: where it was, and what tells it from others. */
const imagesSchema = z.strictObject({
  path: z.string(),
  images: z.int(),
  /** Of names, labels, and sizes or contents; see `--resume`. */
  digest: z.record(z.string(), z.string()),
  /** SHA-256 of decoded pixels (shorter side 256) of up to 256 images, evenly spread, and how many these are. */
  pixels: z.strictObject({ images: z.int(), sha256: z.string() }),
});

/** Data sets of the tables, whose list has their names in words. */
const dataSets = ["imagenet", "inat18", "vtab6", "ade20k", "vtab1k"] as const satisfies readonly PublishedDataSet[];

/** Numbers of the paper's own tables for the same data set and size of encoder, for reading beside the scores. */
const publishedSchema = z.strictObject({
  dataSet: z.enum(dataSets),
  source: z.string(),
  /** Size of the encoder as the tables name it; absent for one that they do not have. */
  shape: z.string().optional(),
  /** Why there are no figures; absent where there are some. */
  reason: z.string().optional(),
  figures: z.array(
    z.strictObject({
      /** The score beside which it stands. */
      score: z.string(),
      /** What the table measures. */
      measure: z.string(),
      encoder: z.string(),
      /** Whether it is the encoder after refinement. */
      refined: z.boolean(),
      unit: z.enum(["share", "number"]),
      /** In the unit of the score; the tables print three digits. */
      value: z.number(),
    }),
  ),
  /** Settings that are not as published, in words. */
  differences: z.array(z.string()),
  /** What is not known of the figures. */
  notes: z.array(z.string()),
});
export type PublishedPart = z.output<typeof publishedSchema>;

/**
 * All that a number needs to be quoted and made again: `receipt.json`, and a part of the line of `--json`. It holds no times, so that the
 * same evaluation gives the same bytes, resumed or not.
 */
export const receiptSchema = z.strictObject({
  format: z.literal(1),
  /** Version of this package. */
  version: z.string(),
  protocol: z.string(),
  /** Every setting that two results must share to be comparable, as it was used. */
  settings: z.record(z.string(), z.unknown()),
  /** Where one was used. */
  preset: presetSchema.optional(),
  seed: z.int(),
  encoder: z.strictObject({
    weights: z.string(),
    /** Of the file: its size, header, and spread blocks of its contents. */
    digest: z.record(z.string(), z.string()),
    /** How the file was read, where options said so. */
    options: z.record(z.string(), z.unknown()),
  }),
  /** Null where nothing is fitted, to a finished classifier. */
  train: imagesSchema.nullable(),
  /** Its path is that of the training images where every fifth of these is tested. */
  test: imagesSchema,
  adapter: z.strictObject({ name: z.string(), type: z.string(), backend: z.string(), driver: z.string() }),
  selection: selectionSchema,
  /** The first is the protocol's main number. */
  scores: z.array(scoreSchema).min(1),
  /** With `--sensitivity`. */
  sensitivity: sensitivitySchema.optional(),
  /** Where the images are of a data set of the paper; nothing depends on it. */
  published: publishedSchema.optional(),
});
export type Receipt = z.output<typeof receiptSchema>;

/** How much a score of the second encoder is above that of the first. */
const differenceSchema = z.strictObject({
  name: z.string(),
  difference: z.number(),
  /** Null where the scores have none. */
  standardError: z.number().nullable(),
  /** Of the differences seed by seed, where there are several. */
  seedError: z.number().optional(),
  /** Paired: of the differences image by image. Independent: from the two standard errors, which is too large for the same images. */
  how: z.enum(["paired", "independent"]),
});
export type Difference = z.output<typeof differenceSchema>;

/** One encoder's part of the line. */
const evaluationSchema = z.strictObject({
  receipt: receiptSchema,
  /** Further numbers of the protocol. */
  details: z.record(z.string(), z.unknown()),
  seconds: z.number(),
});
export type Evaluation = z.output<typeof evaluationSchema>;

/** The line that `mimrefine evaluate PROTOCOL --json` prints. */
export const evaluationLineSchema = z.strictObject({
  ...evaluationSchema.shape,
  /** With `--compare`. */
  compared: z.strictObject({ ...evaluationSchema.shape, differences: z.array(differenceSchema) }).optional(),
});
export type EvaluationLine = z.output<typeof evaluationLineSchema>;
