import process from "node:process";
import { Command } from "commander";
import type { Device } from "../../engine/index.ts";
import packageJson from "../../package.json" with { type: "json" };
import type { Exchange } from "../../refiner/exchange/exchange.ts";
import {
  findPreset,
  type ImageSource,
  type RefineConfig,
  type RefineSettings,
  refine,
  refineConfig,
  refinePresets,
  refineSchema,
} from "../../refiner/index.ts";
import { channelsOf, loadWeights } from "../checkpoints/encoder_of_file.ts";
import { knnTable } from "../output/knn_table.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { exitCodes } from "../program/exit_codes.ts";
import { type Interruption, listenForInterruption } from "../program/interrupt.ts";
import { type ImageOptions, openCommandImages } from "../program/open_images.ts";
import { addEncoderOptions, type EncoderCommandOptions, encoderInputs, tuningOf } from "../program/options.ts";
import { bandwidth, memorySize } from "../program/parsers.ts";
import { addRankOptions, checkSameEverywhere, joinRanks, type RankOptions } from "../program/ranks.ts";
import { addSettings, checkedSettings, givenSettings } from "../program/settings.ts";
import { sharedOption } from "../program/shared_options.ts";
import { UsageError } from "../program/usage_error.ts";
import { fingerprintOf } from "../runs/fingerprint.ts";
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
import { chosenBefore, plannedSettings } from "../runs/planned_offload.ts";
import { onDevices } from "../runs/recovery.ts";
import { type Evaluation, evaluationOf, heldOutEvaluation, measured } from "../runs/refine_evaluation.ts";
import { planRefine } from "../runs/refine_plan.ts";
import { followRefinement } from "../runs/refine_progress.ts";
import { reportOfRefinement } from "../runs/refine_report.ts";
import { firstOf } from "../runs/report_pictures.ts";
import { agreedEnd, sharedTuning } from "../runs/shared_run.ts";
import { checkSameData, type RunInputs, resumedInputs } from "../runs/stored_run.ts";
import { type FilledInputs, requireFiles, storedInputs } from "../runs/weights_inputs.ts";

interface RefineCommandOptions extends RunOptions, EncoderCommandOptions, ImageOptions, RankOptions {
  readonly weights?: string;
  readonly images?: string;
  readonly test?: string;
  readonly preset?: string;
  readonly config?: string;
  readonly evaluate: boolean;
  readonly dryRun: boolean;
  readonly memory?: number;
  readonly bandwidth?: number;
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
    .addOption(sharedOption("imageKey"))
    .addOption(sharedOption("test"))
    .addOption(sharedOption("preset", { more: Object.keys(refinePresets).join(", ") }))
    .addOption(sharedOption("runFolder", { default: "runs/refine" }))
    .addOption(sharedOption("resume", { default: false }))
    .addOption(sharedOption("override", { default: false }))
    .addOption(sharedOption("force", { default: false }))
    .addOption(sharedOption("dryRun", { more: "says what to change if it does not fit", default: false }))
    .option("--memory <size>", "device memory that plans are to fit into, such as 24GB (WebGPU tells none)", memorySize)
    .option("--bandwidth <rate>", "with --dry-run --ranks, what each rank sends per second, such as 100Gb/s", bandwidth)
    .option("--no-evaluate", "measure no accuracy");
  addEncoderOptions(command);
  addRankOptions(command);
  addSettings(command, refineSchema).action((options: RefineCommandOptions) => runRefine(context, command, options));
  return finishCommand(
    command,
    "mimrefine refine --weights mae_pretrain_vit_large.pth --images train/ --preset mae_l16 --out runs/x\nmimrefine refine --resume runs/x",
  );
}

async function runRefine(context: CommandContext, command: Command, options: RefineCommandOptions): Promise<void> {
  const output = outputOf(context, options);
  const given = await givenRun(command, options);
  if (options.bandwidth !== undefined && !(options.dryRun && (options.ranks ?? 1) > 1))
    throw new UsageError(
      "refine: --bandwidth is of the ranks that a dry run plans; give --dry-run and --ranks, or leave it out",
    );
  const plans = options.dryRun || refineConfig(given.settings).offload.includes("auto");
  checkMemory("refine", { memory: options.memory, isPlanned: plans }, " or --offload auto");
  if (options.dryRun) return planRefine(options, given, output);
  const ranks = await joinRanks("refine", options, context.args ?? []);
  if (options.resume === false) requireFiles("refine", options);
  const reads = { "--weights": options.weights, "--images": options.images, "--test": options.test };
  const { settings, isPlanned } =
    options.resume === false ? { settings: given.settings } : chosenBefore(given.settings);
  const run = await openRun("refine", options, { settings, parse: refineConfig, reads, output }, ranks);
  if (isPlanned)
    output.notice(`offload auto: the run goes on with what it began with, ${String(run.config.offload) || "nothing"}`);
  try {
    const files = requireFiles("refine", resumedInputs(run.stored, given.inputs, options.override));
    await refineHeld(run, files, { context, options, output, ranks });
  } finally {
    await run.release();
  }
}

/** What a command was given, and where it tells what it does. */
interface CommandParts {
  readonly context: CommandContext;
  readonly options: RefineCommandOptions;
  readonly output: Output;
  /** The processes that refine together; of which the first one evaluates, writes and prints. */
  readonly ranks: Exchange;
}

/** Refines in a run folder that is this process's own. */
async function refineHeld(
  opened: OpenedRun<RefineConfig>,
  files: FilledInputs,
  { context, options, output, ranks }: CommandParts,
): Promise<void> {
  const { stored, store, config } = opened;
  const decoding = {
    channels: await channelsOf(files.weights, files),
    workers: config.workers,
    imageKey: files.imageKey,
  };
  const opening = await openCommandImages(files.images, decoding, output);
  const source = files.firstImages === undefined ? opening : firstOf(opening, files.firstImages); // of a short demo
  const origin = await Origin.of(files.weights, output); // last: it is closed below
  const interruption = listenForInterruption((text) => output.notice(text), ranks.size > 1);
  const { signal } = interruption;
  let evaluation: Evaluation | undefined;
  try {
    await checkSameEverywhere(ranks, "refine", [packageJson.version, config, source.length, source.classNames ?? []]);
    const evaluate = options.evaluate && stored?.evaluate !== false;
    if (evaluate && ranks.rank === 0) evaluation = await evaluationOf(source, files, output);
    const read = { images: { path: files.images, source }, test: evaluation?.test, weights: files.weights };
    const fingerprint = await fingerprintOf(read);
    const isOverride = options.override;
    if (stored) checkSameData(stored, source.length, fingerprint, { isOverride, output });
    if (stored) origin.check(store, isOverride);
    const inputs = { ...files, imageCount: source.length, fingerprint, evaluate };
    let run = opened; // goes on where its device is lost
    const begun = (next: OpenedRun<RefineConfig>): void => {
      run = next;
    };
    const open = () => openRunDevice(run, options, output, ranks);
    await onDevices({ store, output, signal, open, isShared: ranks.size > 1 }, (device) =>
      refineOpened({
        ...{ run, begun, inputs, source, evaluation, origin, device, interruption },
        ...{ context, options, output, ranks },
      }),
    );
  } finally {
    interruption.stop();
    await origin.close();
    await evaluation?.test?.source.close?.();
    await opening.close?.();
  }
}

/** A refinement with everything open that it needs. */
interface OpenedRefinement extends CommandParts {
  readonly run: OpenedRun<RefineConfig>;
  /** Called with the run as it goes on, once it has begun. */
  readonly begun: (run: OpenedRun<RefineConfig>) => void;
  readonly inputs: FilledInputs;
  readonly source: ImageSource;
  /** Undefined where k-NN accuracy is not measured. */
  readonly evaluation: Evaluation | undefined;
  readonly origin: Origin;
  readonly device: Device;
  readonly interruption: Interruption;
}

async function refineOpened(opened: OpenedRefinement): Promise<void> {
  const { run, begun, inputs, source, evaluation, origin, device, interruption, context, options, output } = opened;
  const { ranks } = opened;
  const isFirst = ranks.rank === 0;
  const { store, out } = run;
  const { weights } = inputs;
  const { signal } = interruption;
  const tune = sharedTuning(device, tuningOf(device, options, output), ranks);
  const encoder = await loadWeights(device, weights, inputs, output);
  const config = await plannedSettings(
    {
      ...{ device, vit: encoder.config, config: run.config, images: source.length, memoryBytes: options.memory },
      exchange: ranks,
    },
    output,
  );
  const start = performance.now();
  const training = refine({
    encoder,
    images: source,
    config,
    store,
    resume: run.stored !== undefined,
    hostBytes: () => process.memoryUsage().rss,
    ...(isFirst ? { origin: origin.metadata } : {}),
    signal,
    exchange: ranks,
    ...(tune ? { tune } : {}),
    ...(evaluation ? { evaluate: (model) => measured(device, model, evaluation, { config, signal }, output) } : {}),
  });
  const { result, timings } = await followRefinement(training, config, output, async () => {
    if (!isFirst) return;
    await origin.checked;
    begun(await beginRun({ ...run, config }, device, storedInputs(inputs)));
  });
  tellUnknownVariants(run, device, output);
  const seconds = (performance.now() - start) / 1000;
  if (!result.finished) endInterrupted(run, await agreedEnd(ranks, interruption), context, output);
  if (!isFirst) return;
  if (result.finished) {
    output.line(`refined in ${seconds.toFixed(0)} s; weights: ${out}/encoder.safetensors`);
    const before = () => loadWeights(device, weights, inputs);
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
}

/** What the command line and the settings file say: the preset's settings, those of the file and the options, in that order. */
interface GivenRun {
  readonly preset?: string;
  readonly settings: Record<string, unknown>;
  readonly inputs: Partial<RunInputs>;
}

async function givenRun(command: Command, options: RefineCommandOptions): Promise<GivenRun> {
  const { weights, images, test, imageKey } = options;
  const found = await givenSettings(command, refineSchema, options.config);
  const { preset, ...own } = found.values;
  const name = options.preset ?? preset;
  const settings = { ...presetSettings(name), ...own };
  checkedSettings(() => refineConfig(settings), found); // names wrong keys and values before anything is opened
  const inputs = Object.entries({ weights, images, test, imageKey, ...encoderInputs(options) }).filter(
    ([, value]) => value !== undefined,
  );
  return { settings, inputs: Object.fromEntries(inputs), ...(typeof name === "string" ? { preset: name } : {}) };
}

function presetSettings(preset: unknown): RefineSettings {
  if (preset === undefined) return {};
  const settings = typeof preset === "string" ? findPreset(preset) : undefined;
  if (settings) return settings;
  throw new UsageError(
    `refine: there is no preset ${String(preset)}; choose from ${Object.keys(refinePresets).join(", ")}`,
  );
}
