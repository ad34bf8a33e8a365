import { resolve } from "node:path";
import process from "node:process";
import { Command } from "commander";
import type { Device } from "../../engine/index.ts";
import {
  completeConfig,
  formatReport,
  loadEncoder,
  openEncoder,
  type VisionTransformer,
  type VitConfig,
} from "../../models/index.ts";
import { openImages } from "../../refiner/data/index_node.ts";
import {
  adviceForFewUpdates,
  presetEncoder,
  type RefineSettings,
  refine,
  refineConfig,
  refinePresets,
  refineSchema,
} from "../../refiner/index.ts";
import { imageChannels } from "../checkpoints/image_channels.ts";
import { withCheckpoint } from "../checkpoints/with_checkpoint.ts";
import { knnTable } from "../evaluation/knn_table.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { exitCodes } from "../program/exit_codes.ts";
import { listenForInterruption } from "../program/interrupt.ts";
import {
  addEncoderOptions,
  type CommonOptions,
  type EncoderCommandOptions,
  encoderInputs,
  encoderOptions,
  openCommandDevice,
  tuningOf,
} from "../program/options.ts";
import { memorySize } from "../program/parsers.ts";
import { addSettings, checkedSettings, givenSettings } from "../program/settings.ts";
import { sharedOption } from "../program/shared_options.ts";
import { UsageError } from "../program/usage_error.ts";
import { printDryRun } from "../runs/dry_run.ts";
import { evaluationOf, heldOutEvaluation, measured } from "../runs/refine_evaluation.ts";
import { fewUpdatesText, followRefinement } from "../runs/refine_progress.ts";
import { reportOfRefinement } from "../runs/refine_report.ts";
import { openRunFolder, removeOldRun } from "../runs/run_folder.ts";
import {
  checkSameImages,
  type RunInputs,
  readStoredRun,
  resumedSettings,
  resumeOn,
  writeStoredRun,
} from "../runs/stored_run.ts";

interface RefineCommandOptions extends CommonOptions, EncoderCommandOptions {
  readonly weights?: string;
  readonly images?: string;
  readonly test?: string;
  readonly preset?: string;
  readonly out: string;
  readonly resume: boolean | string;
  readonly override: boolean;
  readonly force: boolean;
  readonly config?: string;
  readonly evaluate: boolean;
  readonly dryRun: boolean;
  readonly memory?: number;
}

/** `mimrefine refine` */
export function refineCommand(context: CommandContext): Command {
  const command = new Command("refine")
    .summary("refine a pre-trained encoder")
    .description(
      "Refines a vision transformer that was pre-trained by masked image modelling: stage 2 trains contrastive heads on the frozen encoder, stage 3 trains both. No labels are needed; where the images have some, k-NN accuracy per block is measured before and after. The result is OUT/encoder.safetensors. A run can be stopped (Ctrl-C) and resumed without changing its result.",
    )
    .addOption(sharedOption("weights"))
    .addOption(sharedOption("images"))
    .addOption(sharedOption("test"))
    .addOption(sharedOption("preset"))
    .addOption(sharedOption("runFolder", { default: "runs/refine" }))
    .addOption(sharedOption("resume", { default: false }))
    .addOption(sharedOption("override", { default: false }))
    .addOption(sharedOption("force", { default: false }))
    .addOption(sharedOption("dryRun", { more: "says what to change if it does not fit", default: false }))
    .option(
      "--memory <size>",
      "with --dry-run, device memory to fit into, such as 24GB (WebGPU tells none)",
      memorySize,
    )
    .option("--no-evaluate", "do not measure k-NN accuracy");
  addEncoderOptions(command);
  addSettings(command, refineSchema).action((options: RefineCommandOptions) => runRefine(context, command, options));
  return finishCommand(
    command,
    "mimrefine refine --weights mae_pretrain_vit_large.pth --images train/ --preset mae_l16 --out runs/x\nmimrefine refine --resume runs/x",
  );
}

async function runRefine(context: CommandContext, command: Command, options: RefineCommandOptions): Promise<void> {
  const output = outputOf(context, options);
  const given = await givenRun(command, options);
  const isResumed = options.resume !== false;
  const out = typeof options.resume === "string" ? options.resume : options.out;
  if (options.dryRun) return planRefine(options, given, output);
  if (!isResumed) requireFiles(options);
  const reads = { "--weights": options.weights, "--images": options.images, "--test": options.test };
  const store = await openRunFolder("refine", out, { resume: isResumed, force: options.force, reads });
  const stored = isResumed ? await readStoredRun(store, "refine") : undefined;
  const config = refineConfig(
    stored ? resumedSettings(stored.settings, given.settings, options.override) : given.settings,
  );
  const inputs = { ...(stored ?? {}), ...given.inputs };
  const { weights, images } = requireFiles(inputs);
  const source = await openImages(images, {
    channels: await channelsOf(weights, inputs),
    workers: config.workers,
  });
  if (stored) checkSameImages(stored, source.length, options.override);
  const device = await openCommandDevice(options, output, isResumed ? "stored" : "cache");
  const tune = tuningOf(device, options, output);
  const interruption = listenForInterruption((text) => output.notice(text));
  const { signal } = interruption;
  try {
    const difference = stored && resumeOn(device, stored);
    if (difference !== undefined) output.warning(difference);
    const encoder = await loadWeights(device, weights, inputs, output);
    const start = performance.now();
    const evaluation = options.evaluate ? await evaluationOf(source, inputs.test, output) : undefined;
    const run = refine({
      encoder,
      images: source,
      config,
      store,
      resume: isResumed,
      hostBytes: () => process.memoryUsage().rss,
      signal,
      ...(tune ? { tune } : {}),
      ...(evaluation ? { evaluate: (model) => measured(device, model, evaluation, { config, signal }, output) } : {}),
    });
    const { result, timings } = await followRefinement(run, config, output, async () => {
      const { test } = inputs;
      const files = {
        weights: resolve(weights),
        images: resolve(images),
        imageCount: source.length,
        ...(test === undefined ? {} : { test: resolve(test) }),
        ...encoderInputs(inputs),
      };
      if (!isResumed) await removeOldRun(store);
      await writeStoredRun(store, "refine", device, { ...files, settings: config });
    });
    const seconds = (performance.now() - start) / 1000;
    if (result.finished) {
      output.line(`refined in ${seconds.toFixed(0)} s; weights: ${out}/encoder.safetensors`);
      const before = await loadWeights(device, weights, inputs);
      const pictures = evaluation ?? heldOutEvaluation(source);
      const parts = { store, config, device, before, after: result.ema, pictures, timings, images: source.length };
      if (!(await reportOfRefinement(parts, output))) context.exitCode = exitCodes.failure;
    }
    output.table(knnTable(result.knn));
    const { before = [], afterStage2 = [], after = [] } = result.knn;
    output.result({
      adapter: device.info.name,
      seconds,
      images: source.length,
      metrics: { before: { knn: before }, afterStage2: { knn: afterStage2 }, after: { knn: after } },
      out,
    });
    const code = interruption.exitCode();
    if (code !== undefined && !result.finished) {
      output.notice(`saved; go on with: mimrefine refine --resume ${out}`);
      context.exitCode = code;
    }
  } finally {
    interruption.stop();
    device.close();
    await source.close?.();
  }
}

/** What the command line and the settings file say: the preset's settings, those of the file and the options, in that order. */
interface GivenRun {
  readonly preset?: string;
  readonly settings: Record<string, unknown>;
  readonly inputs: Partial<RunInputs>;
}

async function givenRun(command: Command, options: RefineCommandOptions): Promise<GivenRun> {
  const { weights, images, test } = options;
  const found = await givenSettings(command, refineSchema, options.config);
  const { preset, ...own } = found.values;
  const name = options.preset ?? preset;
  const settings = { ...presetSettings(name), ...own };
  checkedSettings(() => refineConfig(settings), found); // names wrong keys and values before anything is opened
  const inputs = Object.entries({ weights, images, test, ...encoderInputs(options) }).filter(
    ([, value]) => value !== undefined,
  );
  return { settings, inputs: Object.fromEntries(inputs), ...(typeof name === "string" ? { preset: name } : {}) };
}

function presetSettings(preset: unknown): RefineSettings {
  if (preset === undefined) return {};
  const settings = typeof preset === "string" ? refinePresets[preset] : undefined;
  if (settings) return settings;
  throw new UsageError(
    `refine: there is no preset ${String(preset)}; choose from ${Object.keys(refinePresets).join(", ")}`,
  );
}

/** @throws UsageError */
function requireFiles({ weights, images }: { readonly weights?: string; readonly images?: string }) {
  if (weights === undefined || images === undefined) throw new UsageError("refine: --weights and --images are needed");
  return { weights, images };
}

/** Images of ImageNet-1k's training set, which the published recipes are for. */
const imageNetImages = 1_281_167;

async function planRefine(options: RefineCommandOptions, given: GivenRun, output: Output): Promise<void> {
  const config = refineConfig(given.settings);
  const vit = await plannedEncoder(options, given.preset);
  const source =
    options.images === undefined
      ? undefined
      : await openImages(options.images, { channels: imageChannels(vit, options.weights ?? "the preset") });
  const images = source?.length ?? imageNetImages;
  if (!source) output.notice(`no --images: planned for the ${imageNetImages} images of ImageNet-1k`);
  const device = await openCommandDevice(options, output);
  try {
    const advice = adviceForFewUpdates(config, images);
    if (advice) output.notice(fewUpdatesText(advice, config));
    await printDryRun({ device, vit, config, images, memoryBytes: options.memory, advice }, output);
  } finally {
    device.close();
    await source?.close?.();
  }
}

/** The encoder of the weights, or the one that a preset was published for. @throws UsageError if there is neither */
async function plannedEncoder(options: RefineCommandOptions, preset: string | undefined): Promise<VitConfig> {
  const { weights } = options;
  if (weights === undefined) {
    const vit = preset === undefined ? undefined : presetEncoder(preset);
    if (vit) return vit;
    throw new UsageError("refine: --dry-run needs --weights, or a --preset that tells the encoder, such as mae_l16");
  }
  const { config } = await withCheckpoint(weights, (file) => openEncoder(file, encoderOptions(options), weights));
  return completeConfig(config, weights);
}

async function channelsOf(weights: string, options: EncoderCommandOptions): Promise<1 | 3> {
  const { config } = await withCheckpoint(weights, (file) => openEncoder(file, encoderOptions(options), weights));
  return imageChannels(config, weights);
}

/** @param output - where to report what was loaded; absent for a second copy */
async function loadWeights(
  device: Device,
  weights: string,
  options: EncoderCommandOptions,
  output?: Output,
): Promise<VisionTransformer> {
  const { model, report } = await withCheckpoint(weights, (file) =>
    loadEncoder(device, file, encoderOptions(options), weights),
  );
  for (const line of formatReport(report)) output?.notice(line);
  return model;
}
