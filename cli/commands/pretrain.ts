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
  pretrainModel,
  pretrainSchema,
} from "../../refiner/index.ts";
import { decoderOf } from "../../refiner/methods/mae/mae_model.ts";
import { continuedSettings } from "../../refiner/methods/mae/model_settings.ts";
import { imageChannels } from "../checkpoints/image_channels.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { listenForInterruption } from "../program/interrupt.ts";
import { type ImageOptions, openCommandImages } from "../program/open_images.ts";
import { addLoadingOptions, openCommandDevice } from "../program/options.ts";
import { memorySize } from "../program/parsers.ts";
import { addSettings, checkedSettings, type GivenSettings, givenSettings } from "../program/settings.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
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
import { Origin } from "../runs/origin.ts";
import { checkMemory } from "../runs/plan_within.ts";
import { printPretrainPlan } from "../runs/pretrain_plan.ts";
import {
  type LoadingOptions,
  loadGivenModel,
  loadingInputs,
  maeOptions,
  modelOfFile,
} from "../runs/pretrain_weights.ts";
import { onDevices } from "../runs/recovery.ts";
import { checkSameData, type RunInputs, resumedInputs, type StoredRun } from "../runs/stored_run.ts";

interface PretrainOptions extends RunOptions, ImageOptions, LoadingOptions {
  readonly weights?: string;
  readonly images?: string;
  readonly config?: string;
  readonly channels?: string;
  readonly split?: "train" | "test";
  readonly dryRun: boolean;
  readonly memory?: number;
}

/** `mimrefine pretrain` */
export function pretrainCommand(context: CommandContext): Command {
  const command = new Command("pretrain")
    .summary("train a masked autoencoder, from scratch or on from weights")
    .description(
      "Trains a vision transformer as a masked autoencoder (MAE) on a folder of images, without labels. The result, OUT/mae.safetensors, is what `mimrefine refine --weights` takes. With --weights it goes on from an encoder, which decides the settings of the model: trained for the same work, that is what a refinement is to be compared with.",
    )
    .addOption(
      sharedOption("weights", { more: "to go on from, with its decoder if the file has one (default: random)" }),
    )
    .addOption(sharedOption("images"))
    .addOption(sharedOption("imageKey"))
    .addOption(sharedOption("runFolder", { default: "runs/pretrain" }))
    .addOption(new Option("--channels <number>", "grey or colour (default: as stored)").choices(["1", "3"]))
    .addOption(sharedOption("resume", { default: false }))
    .addOption(sharedOption("override", { default: false }))
    .addOption(sharedOption("force", { default: false }))
    .addOption(sharedOption("dryRun", { more: "says what to change if it does not fit", default: false }))
    .option(
      "--memory <size>",
      "device memory that plans are to fit into, such as 24GB (WebGPU tells none)",
      memorySize,
    );
  addLoadingOptions(command);
  addSettings(command, pretrainSchema).action((options: PretrainOptions) => runPretrain(context, command, options));
  return finishCommand(
    command,
    "mimrefine pretrain --images train/ --pixels 64 --patch 8 --width 128 --blocks 8 --attention-heads 4 --batch 128 --epochs 50 --out runs/mae\nmimrefine pretrain --resume runs/mae\nmimrefine pretrain --weights runs/mae/mae.safetensors --images train/ --batch 128 --epochs 10 --warmup 1 --out runs/control",
  );
}

async function runPretrain(context: CommandContext, command: Command, options: PretrainOptions): Promise<void> {
  const output = outputOf(context, options);
  const { weights, images } = options;
  if ((options.resume === false || options.dryRun) && images === undefined)
    throw new UsageError("pretrain: --images is needed");
  const given = await givenSettings(command, pretrainSchema, options.config);
  checkedSettings(() => pretrainConfig(given.values), given); // names wrong keys and values before anything is opened
  const reads = { "--weights": weights, "--images": images };
  checkMemory("pretrain", { memory: options.memory, isPlanned: options.dryRun });
  if (options.dryRun) return planPretrain(given, options, output);
  if (options.resume === false) await checkTouchedPaths("pretrain", { reads }); // before the weights are looked at
  const settings =
    options.resume === false ? settingsOf(given, await modelOf(weights, options, given.values)) : given.values;
  const opened = await openRun("pretrain", options, { settings, parse: pretrainConfig, reads, output });
  try {
    const { stored } = opened;
    if (stored && stored.weights === undefined && weights !== undefined)
      throw new UsageError("resume: the run began from random weights; leave out --weights");
    await pretrainOpened(context, opened, options, output);
  } finally {
    await opened.release();
  }
}

/** Given settings, and those that the model of the weights decides. */
function settingsOf(given: GivenSettings, model: StoredModel | undefined): Readonly<Record<string, unknown>> {
  if (!model) return given.values;
  return checkedSettings(() => continuedSettings(given.values, model.encoder, model.decoder), given);
}

type StoredModel = Awaited<ReturnType<typeof modelOfFile>>;

async function modelOf(
  weights: string | undefined,
  loading: LoadingOptions,
  settings: Readonly<Record<string, unknown>>,
): Promise<StoredModel | undefined> {
  return weights === undefined ? undefined : modelOfFile(weights, maeOptions(loading, settings));
}

/** What a run reads, by its options and what it began with. */
interface ReadFiles {
  readonly images: string;
  readonly weights: string | undefined;
  /** Of the weights. */
  readonly model: StoredModel | undefined;
  readonly loading: LoadingOptions;
  readonly channels: 1 | 3 | undefined;
  readonly imageKey: string | undefined;
}

/** @throws UsageError for channels that the encoder of the weights does not take */
async function readFiles(
  options: PretrainOptions,
  settings: Readonly<Record<string, unknown>>,
  stored?: StoredRun,
): Promise<ReadFiles> {
  const weights = options.weights ?? stored?.weights;
  const loading = loadingInputs(resumedInputs(stored, loadingInputs(options), options.override));
  const asked = options.channels === undefined ? stored?.channels : options.channels === "1" ? 1 : 3;
  const files = {
    images: options.images ?? stored?.images ?? "",
    imageKey: options.imageKey ?? stored?.imageKey,
    weights,
    model: await modelOf(weights, loading, settings),
    loading,
  };
  if (weights === undefined || !files.model) return { ...files, channels: asked };
  const channels = imageChannels(files.model.encoder, weights);
  if (asked === undefined || asked === channels) return { ...files, channels };
  throw new UsageError(`pretrain: --channels is ${asked}, ${weights} takes ${channels}; leave it out`);
}

async function openSource(
  { images, channels, imageKey }: ReadFiles,
  workers: PretrainConfig["workers"],
  output: Output,
): Promise<ImageSource> {
  return openCommandImages(images, { ...(channels === undefined ? {} : { channels }), workers, imageKey }, output);
}

async function pretrainOpened(
  context: CommandContext,
  opened: OpenedRun<PretrainConfig>,
  options: PretrainOptions,
  output: Output,
): Promise<void> {
  const { config, stored, store } = opened;
  const files = await readFiles(options, config, stored);
  const { images, weights, channels, imageKey, loading } = files;
  const source = await openSource(files, config.workers, output);
  const origin = weights === undefined ? undefined : await Origin.of(weights, output); // last: it is closed below
  const interruption = listenForInterruption((text) => output.notice(text));
  try {
    const read = { images: { path: images, source }, ...(weights === undefined ? {} : { weights }) };
    const fingerprint = await fingerprintOf(read);
    if (stored) checkSameData(stored, source.length, fingerprint, { isOverride: options.override, output });
    if (stored) origin?.check(store, options.override);
    const inputs: RunInputs = {
      ...(weights === undefined ? {} : { weights: resolve(weights), ...loading }),
      images: resolve(images),
      imageCount: source.length,
      fingerprint,
      ...(channels === undefined ? {} : { channels }),
      ...(imageKey === undefined ? {} : { imageKey }),
    };
    const finished = await trained({ opened, inputs, source, origin, signal: interruption.signal }, options, output);
    if (!finished) endInterrupted(opened, interruption, context, output);
  } finally {
    interruption.stop();
    await origin?.close();
    await source.close?.();
  }
}

/** What a pre-training works with, beside its device. */
interface Pretraining {
  readonly opened: OpenedRun<PretrainConfig>;
  readonly inputs: RunInputs;
  readonly source: ImageSource;
  /** Of the weights that it goes on from. */
  readonly origin: Origin | undefined;
  readonly signal: AbortSignal;
}

/** @returns whether the run is finished */
async function trained(training: Pretraining, options: PretrainOptions, output: Output): Promise<boolean> {
  const { opened, inputs, source, origin, signal } = training;
  const { out, store, config } = opened;
  const { weights } = inputs;
  const start = performance.now();
  let run = opened; // goes on where its device is lost
  return onDevices({ store, output, signal, open: () => openRunDevice(run, options, output) }, async (device) => {
    const encoder =
      weights === undefined ? undefined : await loadGivenModel(device, weights, maeOptions(inputs, config), output);
    const events = pretrain({
      device,
      images: source,
      config,
      store,
      resume: run.stored !== undefined,
      hostBytes: () => process.memoryUsage().rss,
      signal,
      ...(encoder ? { encoder } : {}),
      ...(origin ? { origin: origin.metadata } : {}),
    });
    let last: Record<string, number> = {};
    const { result } = await followRun(events, output, {
      start: async () => {
        await origin?.checked;
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

async function planPretrain(given: GivenSettings, options: PretrainOptions, output: Output): Promise<void> {
  const files = await readFiles(options, given.values);
  const { model } = files;
  const config = pretrainConfig(settingsOf(given, model));
  const source = await openSource(files, config.workers, output);
  const device = await openCommandDevice(options, output);
  try {
    const encoder = model?.encoder ?? pretrainModel(config, source.channels);
    const decoder = model?.decoder ?? decoderOf(config);
    const planned = { device, config, encoder, decoder, images: source.length, memoryBytes: options.memory };
    await printPretrainPlan(planned, output);
  } finally {
    device.close();
    await source.close?.();
  }
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
