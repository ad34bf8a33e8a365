import { Command } from "commander";
import type { Device } from "../../engine/index.ts";
import { completeConfig, formatReport, loadEncoder, openEncoder } from "../../models/checkpoints/index.ts";
import { type Pooling, VisionTransformer, type VitConfig, type VitPreset, vitConfig } from "../../models/index.ts";
import packageJson from "../../package.json" with { type: "json" };
import { defaultPooling, type FeatureBlock, FeatureExtractor } from "../../refiner/evaluation/index.ts";
import { imageChannels } from "../checkpoints/image_channels.ts";
import { withCheckpoint } from "../checkpoints/with_checkpoint.ts";
import { embedImages, listOf, noteFileOf } from "../embedding/embed_images.ts";
import { featureFormat } from "../embedding/feature_files.ts";
import { formatBytes, type Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { type ImageOptions, openCommandImages } from "../program/open_images.ts";
import {
  addEncoderOptions,
  type CommonOptions,
  type EncoderCommandOptions,
  encoderOptions,
  openCommandDevice,
} from "../program/options.ts";
import { addRankOptions, checkSameEverywhere, joinRanks, type RankOptions } from "../program/ranks.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { UsageError } from "../program/usage_error.ts";
import { onDevices } from "../runs/recovery.ts";

interface EmbedOptions extends CommonOptions, EncoderCommandOptions, ImageOptions, RankOptions {
  readonly weights?: string;
  readonly model?: VitPreset;
  readonly images?: string;
  readonly out?: string;
  readonly block?: FeatureBlock;
  readonly pool?: Pooling;
  readonly batch: number;
  readonly workers: number | "auto";
  readonly shorterSide?: number;
  readonly maxBad: number;
  readonly dryRun: boolean;
  readonly force: boolean;
}

/** `mimrefine embed` */
export function embedCommand(context: CommandContext): Command {
  const command = new Command("embed")
    .summary("turn images into feature vectors")
    .description(
      `Encodes every image of a folder (or IDX, CIFAR, tar, list) and writes one vector per image, and beside it OUT.files.tsv with the image and class of each row (.npy: and OUT.json with what it was made with). Images are resized (shorter side 256/224 of the model's resolution, bicubic) and cropped in the centre. The device always computes the same number of images at a time, so the numbers depend on the image only, and are those that knn and layers measure; memory does not grow with the number of images.`,
    )
    .addOption(sharedOption("weights"))
    .addOption(sharedOption("images"))
    .addOption(sharedOption("imageKey"))
    .addOption(sharedOption("outFile", { more: ".npy, .safetensors or .parquet" }))
    .addOption(sharedOption("block", { more: "default: last" }))
    .addOption(sharedOption("pool", { more: "default: cls where there is one" }))
    .addOption(sharedOption("batch", { more: "changes speed and memory, not the result", default: 32 }))
    .addOption(sharedOption("workers", { default: "auto" }))
    .addOption(sharedOption("shorterSide", { more: "default: 256/224 of the resolution" }))
    .addOption(sharedOption("maxBad", { default: 0.01 }))
    .addOption(sharedOption("dryRun", { default: false }))
    .addOption(sharedOption("model", { more: "with --dry-run, instead of --weights" }))
    .addOption(sharedOption("force", { default: false }));
  addRankOptions(addEncoderOptions(command)).action((options: EmbedOptions) => embed(context, options));
  return finishCommand(
    command,
    "mimrefine embed --weights encoder.safetensors --images photos/ --out features.npy\nmimrefine embed --dry-run --model l16",
  );
}

async function embed(context: CommandContext, options: EmbedOptions): Promise<void> {
  const output = outputOf(context, options);
  if (options.dryRun && options.ranks !== undefined)
    throw new UsageError("embed: --dry-run plans one process, and each rank takes as much; leave --ranks out");
  if (options.dryRun) return dryRun(options, output);
  const { weights, images, out } = options;
  if (options.model !== undefined) throw new UsageError("embed: --model goes with --dry-run; give --weights");
  if (weights === undefined || images === undefined || out === undefined)
    throw new UsageError("embed: --weights, --images and --out are needed (or --dry-run)");
  const format = featureFormat(out);
  const reads = { "--weights": weights, "--images": images };
  const writes = {
    "--out": out,
    "the list beside it": listOf(out),
    "the note beside it": noteFileOf(out, format),
  };
  await checkTouchedPaths("embed", { reads, writes, overwrite: options.force });
  const exchange = await joinRanks("embed", options, context.args ?? []);
  const channels = await channelsOf(weights, options);
  const source = await openCommandImages(
    images,
    { channels, workers: options.workers, imageKey: options.imageKey },
    output,
  );
  try {
    const open = () => openCommandDevice(options, output);
    const { batch, maxBad } = options;
    await checkSameEverywhere(exchange, "embed", [
      packageJson.version,
      source.length,
      source.classNames ?? [],
      batch,
      maxBad,
    ]);
    await onDevices({ output, open, isShared: exchange.size > 1 }, async (device) => {
      const { model, place } = await loadModel(device, weights, options, output);
      const { config } = model;
      const extractor = new FeatureExtractor(model, featureOptions(config, options));
      const { pooling } = extractor;
      const { block = "last", classPosition = "exact", shorterSide } = options;
      const side = shorterSide === undefined ? {} : { shorterSide };
      const making = { weights, config, place, classPosition, block, pooling, ...side };
      await checkSameEverywhere(exchange, "embed", making);
      await embedImages({ extractor, source, out, format, making, exchange }, options, output);
      extractor.destroy();
    });
  } finally {
    await source.close?.();
  }
}

async function channelsOf(weights: string, options: EmbedOptions): Promise<1 | 3> {
  const { config } = await withCheckpoint(weights, (file) => openEncoder(file, encoderOptions(options), weights));
  return imageChannels(config, weights);
}

async function loadModel(
  device: Device,
  weights: string,
  options: EmbedOptions,
  output: Output,
): Promise<{ readonly model: VisionTransformer; readonly place: string }> {
  const { model, report } = await withCheckpoint(weights, (file) =>
    loadEncoder(device, file, encoderOptions(options), weights),
  );
  for (const line of formatReport({ ...report, warnings: [] })) output.notice(line);
  for (const warning of report.warnings) output.warning(warning);
  return { model, place: report.place };
}

function featureOptions(config: VitConfig, { block, pool, shorterSide }: EmbedOptions) {
  return {
    blocks: [block ?? ("last" as const)],
    pooling: pool ?? defaultPooling(config),
    ...(shorterSide === undefined ? {} : { shorterSidePixels: shorterSide }),
  };
}

/** Records the program on the device's limits and prints its plan. */
async function dryRun(options: EmbedOptions, output: Output): Promise<void> {
  const config = await dryRunConfig(options);
  const device = await openCommandDevice(options, output);
  try {
    const extractor = new FeatureExtractor(new VisionTransformer(device, config), featureOptions(config, options));
    const { weights, activations, inputs, readBack, total } = extractor.memory;
    output.line(
      `planned device memory for ${extractor.batch} images of ${config.heightPixels} × ${config.widthPixels} pixels at a time:`,
    );
    const parts = { weights, activations, "input images": inputs, "read-back": readBack, total };
    output.pairs(Object.entries(parts).map(([name, bytes]) => [name, formatBytes(bytes)] as const));
    output.line(`allocated now: ${formatBytes(device.counters.heldBytes)}`);
    output.result({
      config,
      batch: extractor.batch,
      plannedBytes: extractor.memory,
      allocatedBytes: device.counters.heldBytes,
    });
  } finally {
    device.close();
  }
}

async function dryRunConfig(options: EmbedOptions): Promise<VitConfig> {
  const { model, weights } = options;
  if (model !== undefined && weights !== undefined)
    throw new UsageError("embed: --dry-run takes --weights or --model, not both");
  if (model !== undefined) return vitConfig(model);
  if (weights === undefined) throw new UsageError("embed: --dry-run needs --weights or --model");
  const { config } = await withCheckpoint(weights, (file) => openEncoder(file, encoderOptions(options), weights));
  return completeConfig(config, weights);
}
