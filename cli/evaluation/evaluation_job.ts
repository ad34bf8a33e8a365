import type { Command } from "commander";
import { openCheckpoint } from "../../engine/files/index.ts";
import type { Device } from "../../engine/index.ts";
import { fileSource } from "../../engine/platform/files_node.ts";
import { formatReport, loadEncoder, openEncoder } from "../../models/checkpoints/index.ts";
import type { Pooling, VisionTransformer } from "../../models/index.ts";
import type { ImageSource } from "../../refiner/data/index.ts";
import { heldOut } from "../../refiner/data/sources/held_out.ts";
import {
  type BlockAccuracies,
  defaultPooling,
  type EncodedSides,
  encodeSides,
  type FeatureBlock,
  type FeatureOptions,
  knnOfFeatures,
} from "../../refiner/evaluation/index.ts";
import { imageChannels } from "../checkpoints/image_channels.ts";
import { Progress } from "../output/progress.ts";
import type { Output } from "../output/streams.ts";
import { type ImageOptions, openCommandImages, openTestImages } from "../program/open_images.ts";
import {
  addEncoderOptions,
  type CommonOptions,
  type EncoderCommandOptions,
  encoderOptions,
  openCommandDevice,
} from "../program/options.ts";
import { sharedOption } from "../program/shared_options.ts";
import { onDevices, type RecoverableRun } from "../runs/recovery.ts";

/** What a command that evaluates an encoder opens. */
export interface JobOptions extends CommonOptions, EncoderCommandOptions, ImageOptions {
  readonly weights: string;
  readonly images: string;
  readonly test?: string;
  readonly workers: number | "auto";
}

/** Options of commands that measure k-NN accuracy. */
export interface EvaluationOptions extends JobOptions {
  readonly k: number;
  readonly kTemperature: number;
  readonly pool?: Pooling;
  readonly standardise: boolean;
  readonly batch: number;
  readonly imageSize?: number;
  readonly maxBad: number;
}

export function addEvaluationOptions(command: Command): Command {
  command
    .addOption(sharedOption("weights", { isRequired: true }))
    .addOption(sharedOption("images", { more: "labelled: a folder per class", isRequired: true }))
    .addOption(sharedOption("imageKey"))
    .addOption(sharedOption("test"));
  addKnnOptions(command)
    .addOption(sharedOption("imageSize", { more: "default: its own" }))
    .addOption(sharedOption("workers", { default: "auto" }))
    .addOption(sharedOption("maxBad", { default: 0.01 }));
  return addEncoderOptions(command);
}

/** Options of the vote, and of how images are read for it. */
export function addKnnOptions(command: Command): Command {
  return command
    .addOption(sharedOption("k", { more: "they vote", default: 20 }))
    .addOption(sharedOption("kTemperature", { default: 0.07 }))
    .addOption(sharedOption("pool", { more: "default: cls where there is one" }))
    .option("--no-standardise", "do not scale each feature dimension to mean 0 and deviation 1")
    .addOption(
      sharedOption("batch", { more: "decoded together; changes speed and memory, not the result", default: 32 }),
    );
}

/** What the work of an evaluation command is given. */
export interface EvaluationJob {
  readonly device: Device;
  readonly model: VisionTransformer;
  readonly train: ImageSource;
  readonly test: ImageSource;
}

/** How the images of an encoder are read. */
export type JobDecoding = Parameters<typeof openCommandImages>[1];

/** Training and test images. */
export interface JobImages {
  readonly train: ImageSource;
  readonly test: ImageSource;
}

/** How a job opens what it works with, where it is not by its options alone. */
export interface JobDoors {
  readonly openDevice?: () => Promise<Device>;
  /** Where a new device goes on if one is lost, and what ends that. */
  readonly recovery?: Pick<RecoverableRun, "store" | "signal">;
  /** Adds what it opened to `open`; undefined: as the options say. */
  readonly openImages?: (decoding: JobDecoding, open: { close?(): Promise<void> }[]) => Promise<JobImages | undefined>;
}

/** Opens images, device and weights, does the work (again on a new device, if one is lost), and closes everything. */
export async function withEvaluationJob<T>(
  options: JobOptions,
  output: Output,
  work: (job: EvaluationJob) => Promise<T>,
  { openDevice = () => openCommandDevice(options, output), openImages, recovery = {} }: JobDoors = {},
): Promise<T> {
  const { weights } = options;
  const checkpoint = await openCheckpoint(await fileSource(weights));
  const open: { close?(): Promise<void> }[] = [checkpoint];
  try {
    const { config } = await openEncoder(checkpoint, encoderOptions(options), weights);
    const decoding = {
      channels: imageChannels(config, weights),
      workers: options.workers,
      imageKey: options.imageKey,
    };
    const { train, test } =
      (await openImages?.(decoding, open)) ?? (await openedImages(options, decoding, open, output));
    return await onDevices({ ...recovery, output, open: openDevice }, async (device) => {
      const { model, report } = await loadEncoder(device, checkpoint, encoderOptions(options), weights);
      for (const line of formatReport({ ...report, warnings: [] })) output.notice(line);
      for (const warning of report.warnings) output.warning(warning);
      return work({ device, model, train, test });
    });
  } finally {
    for (const one of open.reverse()) await one.close?.();
  }
}

/** The images of `--images` and `--test`, or every fifth of the former as test images. */
async function openedImages(
  { images, test: testPath }: JobOptions,
  decoding: JobDecoding,
  open: { close?(): Promise<void> }[],
  output: Output,
): Promise<JobImages> {
  const train = await openCommandImages(images, decoding, output);
  open.push(train);
  if (testPath === undefined) return heldOut(train);
  const test = await openTestImages(testPath, train, decoding, output);
  open.push(test);
  return { train, test };
}

/** k-NN accuracy of some blocks, or all, with progress on stderr. @throws the reason of the signal, if it comes meanwhile */
export async function measureBlocks(
  job: EvaluationJob & { readonly signal?: AbortSignal },
  options: EvaluationOptions,
  output: Output,
  blocks: "all" | readonly FeatureBlock[] = "all",
): Promise<BlockAccuracies> {
  return knnOfFeatures(job.device, await encodedSides(job, options, output, { blocks, pooling: options.pool }), {
    ...voteOptions(options),
  });
}

/** How the options say that neighbours vote. */
export function voteOptions({ k, kTemperature: temperature, standardise }: EvaluationOptions) {
  return { k, temperature, standardise };
}

/** Features of training and test images, with progress on stderr. @throws the reason of the signal, if it comes meanwhile */
export async function encodedSides(
  { model, train, test, signal }: EvaluationJob & { readonly signal?: AbortSignal },
  options: EvaluationOptions,
  output: Output,
  features: Pick<FeatureOptions, "blocks"> & { readonly pooling: FeatureOptions["pooling"] | undefined },
): Promise<EncodedSides> {
  const { pooling, ...rest } = features;
  const progress = new Progress(output, train.length + test.length, "images");
  try {
    return await encodeSides(model, train, test, {
      ...rest,
      ...(pooling === undefined ? {} : { pooling }),
      batch: options.batch,
      ...(options.imageSize === undefined ? {} : { imagePixels: options.imageSize }),
      maxBad: options.maxBad,
      ...(signal ? { signal } : {}),
      onBroken: (error) => output.warning(error.message),
      onProgress: (done) => progress.update(done),
    });
  } finally {
    progress.end();
  }
}

/** Settings and sizes that every result line names. */
export function describeEvaluation(job: EvaluationJob, options: EvaluationOptions, found: BlockAccuracies) {
  const { k, kTemperature: temperature, standardise, weights, pool } = options;
  return {
    adapter: job.device.info.name,
    weights,
    k,
    temperature,
    pool: pool ?? defaultPooling(job.model.config),
    standardise,
    trainImages: found.trainImages,
    testImages: found.testImages,
  };
}
