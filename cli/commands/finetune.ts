import process from "node:process";
import { Command } from "commander";
import type { Device } from "../../engine/index.ts";
import {
  type FinetuneConfig,
  finetune,
  finetuneConfig,
  finetunePreset,
  finetunePresets,
  finetuneSchema,
  type ImageSource,
  planFinetuning,
} from "../../refiner/index.ts";
import { channelsOf, encoderConfig, loadWeights } from "../checkpoints/encoder_of_file.ts";
import { linesOfTables, publishedOfClassifier } from "../evaluation/published_part.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { exitCodes } from "../program/exit_codes.ts";
import { type Interruption, listenForInterruption } from "../program/interrupt.ts";
import { type ImageOptions, openCommandImages } from "../program/open_images.ts";
import {
  addEncoderOptions,
  type EncoderCommandOptions,
  encoderInputs,
  openCommandDevice,
  tuningOf,
} from "../program/options.ts";
import { memorySize } from "../program/parsers.ts";
import { presetText } from "../program/preset_text.ts";
import { addSettings, checkedSettings, givenSettings } from "../program/settings.ts";
import { type DataSetOption, sharedOption } from "../program/shared_options.ts";
import { UsageError } from "../program/usage_error.ts";
import { closeFinetuneImages, type FinetuneImages, openFinetuneImages, testedBy } from "../runs/finetune_images.ts";
import { printFinetunePlan } from "../runs/finetune_plan.ts";
import { finetuneSummary, reportOfFinetuning } from "../runs/finetune_report.ts";
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
import { onDevices } from "../runs/recovery.ts";
import { checkSameData, type RunInputs, resumedInputs } from "../runs/stored_run.ts";
import { type FilledInputs, requireFiles, storedInputs } from "../runs/weights_inputs.ts";

interface FinetuneCommandOptions extends RunOptions, EncoderCommandOptions, ImageOptions {
  readonly weights?: string;
  readonly images?: string;
  readonly test?: string;
  readonly dataSet?: DataSetOption;
  readonly preset?: string;
  readonly config?: string;
  readonly evaluate: boolean;
  readonly dryRun: boolean;
  readonly memory?: number;
}

/** `mimrefine finetune` */
export function finetuneCommand(context: CommandContext): Command {
  const command = new Command("finetune")
    .summary("train a classifier from an encoder and labelled images")
    .description(
      "Trains a whole encoder with a linear head on labelled images: layer-wise learning-rate decay, drop path, label smoothing, mixup and CutMix. Top-1 accuracy on the test images is measured on the way; the last one is the result. OUT/classifier.safetensors holds encoder, head and class names, and is what `mimrefine predict` takes. A run can be stopped (Ctrl-C) and resumed without changing its result.",
    )
    .addOption(sharedOption("weights"))
    .addOption(sharedOption("images", { more: "labelled: a folder per class" }))
    .addOption(sharedOption("imageKey"))
    .addOption(sharedOption("test"))
    .addOption(sharedOption("dataSet", { more: "default: auto" }))
    .addOption(
      sharedOption("preset", { more: `${finetunePresets.join(", ")}; published ones know the sizes of encoders` }),
    )
    .addOption(sharedOption("runFolder", { default: "runs/finetune" }))
    .addOption(sharedOption("resume", { default: false }))
    .addOption(sharedOption("override", { default: false }))
    .addOption(sharedOption("force", { default: false }))
    .addOption(sharedOption("dryRun", { more: "says what to change if it does not fit", default: false }))
    .option("--memory <size>", "device memory that plans are to fit into, such as 24GB (WebGPU tells none)", memorySize)
    .option("--no-evaluate", "measure no accuracy; all images are trained on");
  addEncoderOptions(command);
  addSettings(command, finetuneSchema).action((options: FinetuneCommandOptions) =>
    runFinetune(context, command, options),
  );
  return finishCommand(
    command,
    "mimrefine finetune --weights encoder.safetensors --images train/ --test val/ --preset small --out runs/x\nmimrefine finetune --resume runs/x\nmimrefine predict photos/ --weights runs/x/classifier.safetensors",
  );
}

/** What a command was given, and where it tells what it does. */
interface CommandParts {
  readonly context: CommandContext;
  readonly options: FinetuneCommandOptions;
  readonly output: Output;
}

async function runFinetune(context: CommandContext, command: Command, options: FinetuneCommandOptions): Promise<void> {
  const output = outputOf(context, options);
  const settings = await givenSettingsOf(command, options, output);
  const inputs = givenInputs(options);
  checkMemory("finetune", { memory: options.memory, isPlanned: options.dryRun });
  if (options.dryRun) return planFinetune(options, settings, requireFiles("finetune", inputs), output);
  if (options.resume === false) requireFiles("finetune", inputs);
  const reads = { "--weights": options.weights, "--images": options.images, "--test": options.test };
  const run = await openRun("finetune", options, { settings, parse: finetuneConfig, reads, output });
  try {
    const files = requireFiles("finetune", resumedInputs(run.stored, inputs, options.override));
    await finetuneHeld(run, files, { context, options, output });
  } finally {
    await run.release();
  }
}

/** Settings of the preset, for the size of the encoder, of the file and of the options, in that order. */
async function givenSettingsOf(
  command: Command,
  options: FinetuneCommandOptions,
  output: Output,
): Promise<Record<string, unknown>> {
  const found = await givenSettings(command, finetuneSchema, options.config);
  const { preset: named, ...own } = found.values;
  const preset = options.preset ?? named;
  const sets = preset === undefined ? undefined : await presetSettings(preset, options);
  const settings = { ...sets, ...own };
  if (sets) output.notice(presetText(String(preset), sets, settings));
  checkedSettings(() => finetuneConfig(settings), found); // names wrong keys and values before anything is opened
  return settings;
}

async function presetSettings(preset: unknown, options: FinetuneCommandOptions): Promise<Record<string, unknown>> {
  if (typeof preset !== "string" || !finetunePresets.includes(preset))
    throw new UsageError(`finetune: there is no preset ${preset}; choose from ${finetunePresets.join(", ")}`);
  const { weights } = options;
  if (weights === undefined) throw new UsageError("finetune: --preset goes with --weights, whose size it looks at");
  return finetunePreset(preset, await encoderConfig(weights, options));
}

function givenInputs(options: FinetuneCommandOptions): Partial<RunInputs> {
  const { weights, images, test, imageKey, dataSet } = options;
  const given = { weights, images, test, imageKey, dataSet, ...encoderInputs(options) };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** Fine-tunes in a run folder that is this process's own. */
async function finetuneHeld(
  opened: OpenedRun<FinetuneConfig>,
  files: FilledInputs,
  { context, options, output }: CommandParts,
): Promise<void> {
  const { stored, store, config } = opened;
  const decoding = {
    channels: await channelsOf(files.weights, files),
    workers: config.workers,
    imageKey: files.imageKey,
  };
  const origin = await Origin.of(files.weights, output);
  const source = await openCommandImages(files.images, decoding, output);
  const interruption = listenForInterruption((text) => output.notice(text));
  const evaluate = options.evaluate && stored?.evaluate !== false;
  const images = await openFinetuneImages(source, { test: files.test, evaluate, decoding }, output);
  try {
    // Those that are trained on: --test and --no-evaluate decide which they are.
    const { train } = images;
    const read = { images: { path: files.images, source: train }, test: images.placedTest, weights: files.weights };
    const fingerprint = await fingerprintOf(read);
    const isOverride = options.override;
    if (stored) checkSameData(stored, train.length, fingerprint, { isOverride, output });
    if (stored) origin.check(store, isOverride);
    const inputs = { ...files, imageCount: train.length, fingerprint, evaluate };
    const parts = { context, options, output, inputs, images, origin, interruption };
    let run = opened; // goes on where its device is lost
    const begun = (next: OpenedRun<FinetuneConfig>): void => {
      run = next;
    };
    const { signal } = interruption;
    await onDevices({ store, output, signal, open: () => openRunDevice(run, options, output) }, (device) =>
      finetuneOpened({ ...parts, run, begun, device }),
    );
  } finally {
    interruption.stop();
    await origin.close();
    await closeFinetuneImages(images);
  }
}

/** A fine-tuning with everything open that it needs. */
interface OpenedFinetuning extends CommandParts {
  readonly run: OpenedRun<FinetuneConfig>;
  /** Called with the run as it goes on, once it has begun. */
  readonly begun: (run: OpenedRun<FinetuneConfig>) => void;
  readonly inputs: FilledInputs;
  readonly images: FinetuneImages;
  readonly origin: Origin;
  readonly device: Device;
  readonly interruption: Interruption;
}

async function finetuneOpened(opened: OpenedFinetuning): Promise<void> {
  const { run, begun, inputs, images, origin, device, interruption, context, options, output } = opened;
  const { store, config, out } = run;
  const { signal } = interruption;
  const tune = tuningOf(device, options, output);
  const encoder = await loadWeights(device, inputs.weights, inputs, output);
  const start = performance.now();
  const { test } = images;
  const training = finetune({
    encoder,
    images: images.train,
    config,
    store,
    resume: run.stored !== undefined,
    hostBytes: () => process.memoryUsage().rss,
    origin: origin.metadata,
    signal,
    ...(tune ? { tune } : {}),
    ...(test ? { test: testedBy(test, { config, signal }, output) } : {}),
  });
  const { result, timings } = await followRun(training, output, {
    start: async () => {
      await origin.checked;
      begun(await beginRun(run, device, storedInputs(inputs)));
    },
    test: ({ epoch, accuracy }) => output.notice(`epoch ${epoch}: top-1 ${(100 * accuracy).toFixed(2)} %`),
  });
  tellUnknownVariants(run, device, output);
  const seconds = (performance.now() - start) / 1000;
  const summary = finetuneSummary(result, { seconds, images: images.train.length, out });
  const beside = publishedOfClassifier(result, { config, images, encoder: encoder.config }, inputs.dataSet ?? "auto");
  for (const line of [...summary.lines, ...linesOfTables(beside.tables)]) output.line(line);
  if (result.finished) {
    const classes = result.model.description.classNames.length;
    const plan = planFinetuning(device, encoder.config, config, { images: images.train.length, classes });
    const isWritten = await reportOfFinetuning(store, { device, timings, plan, published: beside.tables }, output);
    if (!isWritten) context.exitCode = exitCodes.failure;
  }
  output.result({ adapter: device.info.name, ...summary.result, ...beside.result });
  if (!result.finished) endInterrupted(run, interruption, context, output);
}

async function planFinetune(
  options: FinetuneCommandOptions,
  settings: Record<string, unknown>,
  files: FilledInputs,
  output: Output,
): Promise<void> {
  const config = finetuneConfig(settings);
  const vit = await encoderConfig(files.weights, options);
  const decoding = { channels: await channelsOf(files.weights, options), imageKey: options.imageKey };
  const source: ImageSource = await openCommandImages(files.images, decoding, output);
  const device = await openCommandDevice(options, output);
  const images = await openFinetuneImages(source, { test: options.test, evaluate: options.evaluate, decoding }, output);
  try {
    await printFinetunePlan({ device, vit, config, images: images.train, memoryBytes: options.memory }, output);
  } finally {
    device.close();
    await closeFinetuneImages(images);
  }
}
