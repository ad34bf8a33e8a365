import { resolve } from "node:path";
import process from "node:process";
import { Command, Option } from "commander";
import type { Device } from "../../engine/index.ts";
import {
  type ImageSource,
  type PretrainConfig,
  type PretrainResult,
  pretrain,
  pretrainConfig,
  pretrainSchema,
} from "../../refiner/index.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { listenForInterruption } from "../program/interrupt.ts";
import { type ImageOptions, openCommandImages } from "../program/open_images.ts";
import { addSettings, checkedSettings, givenSettings } from "../program/settings.ts";
import { sharedOption } from "../program/shared_options.ts";
import { UsageError } from "../program/usage_error.ts";
import { fingerprintOf } from "../runs/fingerprint.ts";
import { followRun } from "../runs/follow_run.ts";
import {
  beginRun,
  endInterrupted,
  type OpenedRun,
  openRun,
  openRunDevice,
  type RunOptions,
  tellUnknownVariants,
} from "../runs/opened_run.ts";
import { onDevices } from "../runs/recovery.ts";
import { checkSameData, type RunInputs } from "../runs/stored_run.ts";

interface PretrainOptions extends RunOptions, ImageOptions {
  readonly images?: string;
  readonly config?: string;
  readonly channels?: string;
  readonly split?: "train" | "test";
}

/** `mimrefine pretrain` */
export function pretrainCommand(context: CommandContext): Command {
  const command = new Command("pretrain")
    .summary("train a masked autoencoder from scratch")
    .description(
      "Trains a vision transformer as a masked autoencoder (MAE) on a folder of images, without labels. The result, OUT/mae.safetensors, is what `mimrefine refine --weights` takes.",
    )
    .addOption(sharedOption("images"))
    .addOption(sharedOption("imageKey"))
    .addOption(sharedOption("runFolder", { default: "runs/pretrain" }))
    .addOption(new Option("--channels <number>", "grey or colour (default: as stored)").choices(["1", "3"]))
    .addOption(sharedOption("resume", { default: false }))
    .addOption(sharedOption("override", { default: false }))
    .addOption(sharedOption("force", { default: false }));
  addSettings(command, pretrainSchema).action((options: PretrainOptions) => runPretrain(context, command, options));
  return finishCommand(
    command,
    "mimrefine pretrain --images train/ --pixels 64 --patch 8 --width 128 --blocks 8 --attention-heads 4 --batch 128 --epochs 50 --out runs/mae\nmimrefine pretrain --resume runs/mae",
  );
}

async function runPretrain(context: CommandContext, command: Command, options: PretrainOptions): Promise<void> {
  const output = outputOf(context, options);
  if (options.resume === false && options.images === undefined) throw new UsageError("pretrain: --images is needed");
  const given = await givenSettings(command, pretrainSchema, options.config);
  checkedSettings(() => pretrainConfig(given.values), given); // names wrong keys and values before anything is opened
  const reads = { "--images": options.images };
  const opened = await openRun("pretrain", options, { settings: given.values, parse: pretrainConfig, reads });
  try {
    await pretrainOpened(context, opened, options, output);
  } finally {
    await opened.release();
  }
}

async function pretrainOpened(
  context: CommandContext,
  opened: OpenedRun<PretrainConfig>,
  options: PretrainOptions,
  output: Output,
): Promise<void> {
  const { config, stored } = opened;
  const images = options.images ?? stored?.images ?? "";
  const channels = options.channels === undefined ? stored?.channels : options.channels === "1" ? 1 : 3;
  const imageKey = options.imageKey ?? stored?.imageKey;
  const source = await openCommandImages(
    images,
    {
      ...(channels === undefined ? {} : { channels }),
      workers: config.workers,
      imageKey,
    },
    output,
  );
  const interruption = listenForInterruption((text) => output.notice(text));
  try {
    const fingerprint = await fingerprintOf({ images: { path: images, source } });
    if (stored) checkSameData(stored, source.length, fingerprint, { isOverride: options.override, output });
    const inputs: RunInputs = {
      images: resolve(images),
      imageCount: source.length,
      fingerprint,
      ...(channels === undefined ? {} : { channels }),
      ...(imageKey === undefined ? {} : { imageKey }),
    };
    const finished = await trained({ opened, inputs, source, signal: interruption.signal }, options, output);
    if (!finished) endInterrupted(opened, interruption, context, output);
  } finally {
    interruption.stop();
    await source.close?.();
  }
}

/** What a pre-training works with, beside its device. */
interface Pretraining {
  readonly opened: OpenedRun<PretrainConfig>;
  readonly inputs: RunInputs;
  readonly source: ImageSource;
  readonly signal: AbortSignal;
}

/** @returns whether the run is finished */
async function trained(training: Pretraining, options: PretrainOptions, output: Output): Promise<boolean> {
  const { opened, inputs, source, signal } = training;
  const { out, store, config } = opened;
  const start = performance.now();
  let run = opened; // goes on where its device is lost
  return onDevices({ store, output, signal, open: () => openRunDevice(run, options, output) }, async (device) => {
    const events = pretrain({
      device,
      images: source,
      config,
      store,
      resume: run.stored !== undefined,
      hostBytes: () => process.memoryUsage().rss,
      signal,
    });
    let last: Record<string, number> = {};
    const { result } = await followRun(events, output, {
      start: async () => {
        run = await beginRun(run, device, inputs);
      },
      update: ({ loss, imagesPerSecond }) => {
        last = { loss, imagesPerSecond };
      },
    });
    tellUnknownVariants(run, device, output);
    const { finished, updates } = result;
    const numbers = { ...last, updates, ...skippedOf(result) };
    report(output, numbers, { device, start, images: source.length, out, finished });
    return finished;
  });
}

function skippedOf({ skippedUpdates }: PretrainResult): Record<string, number> {
  return skippedUpdates === undefined ? {} : { skippedUpdates };
}

function report(
  output: Output,
  last: Record<string, number>,
  run: { device: Device; start: number; images: number; out: string; finished: boolean },
): void {
  const seconds = (performance.now() - run.start) / 1000;
  output.line(
    `${run.finished ? "finished" : "stopped"} after ${last.updates} updates, loss ${last.loss?.toFixed(4) ?? "?"}, ${seconds.toFixed(0)} s`,
  );
  if (run.finished) output.line(`weights: ${run.out}/mae.safetensors`);
  output.result({
    adapter: run.device.info.name,
    seconds,
    images: run.images,
    finished: run.finished,
    ...last,
    out: run.out,
  });
}
