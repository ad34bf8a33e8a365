import { join } from "node:path";
import { Command } from "commander";
import { shown } from "../../engine/core/shown.ts";
import type { Device } from "../../engine/index.ts";
import { MemoryRunStore } from "../../refiner/index.ts";
import { type Output, tableLine } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { type Interruption, listenForInterruption } from "../program/interrupt.ts";
import { addEncoderOptions } from "../program/options.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { UsageError } from "../program/usage_error.ts";
import { fileDigest } from "../runs/fingerprint.ts";
import { removeOldRun, runFiles } from "../runs/run_folder.ts";
import { comparisonTable, differencesOf } from "./comparison.ts";
import {
  beginEvaluation,
  comparedFolder,
  type EvaluationFolder,
  isResumed,
  nowhere,
  openEvaluationDevice,
  openEvaluationFolder,
} from "./evaluation_folder.ts";
import { type EvaluationJob, type JobDoors, withEvaluationJob } from "./evaluation_job.ts";
import type { Difference, Evaluation, EvaluationLine, UsedPreset } from "./evaluation_line.ts";
import { evaluationDataFile, writeEvaluationReport } from "./evaluation_report.ts";
import { checkPredictionFiles, writeConfusion, writePredictions } from "./prediction_files.ts";
import type { Protocol, ProtocolOptions, ProtocolResult } from "./protocol.ts";
import { applyPreset, usedPresetText } from "./protocol_presets.ts";
import { publishedLines } from "./published_part.ts";
import { type ReceiptInputs, receiptFile, receiptInputs, receiptOf, requireSameProtocol } from "./receipt.ts";
import { runAround } from "./run_evaluations.ts";
import { sensitivityTable } from "./sensitivity_table.ts";

/** `mimrefine evaluate NAME`: what all protocols share around what one does. */
export function protocolCommand<Options extends ProtocolOptions>(
  context: CommandContext,
  protocol: Protocol<Options>,
): Command {
  const command = new Command(protocol.name).summary(protocol.summary).description(protocol.description);
  command
    .addOption(sharedOption("weights"))
    .addOption(sharedOption("images", { more: "labelled: a folder per class" }))
    .addOption(sharedOption("imageKey"))
    .addOption(sharedOption("test"));
  protocol.addOptions(command);
  if (protocol.presets) command.addOption(sharedOption("preset", { more: "paper, small" }));
  command
    .addOption(sharedOption("imageSize", { more: "default: its own" }))
    .addOption(sharedOption("workers", { default: "auto" }))
    .addOption(sharedOption("maxBad", { default: 0.01 }))
    .addOption(sharedOption("compare", { more: "a second encoder, which is evaluated in the same way" }))
    .addOption(sharedOption("dataSet", { default: "auto" }))
    .addOption(sharedOption("predictions"))
    .addOption(sharedOption("confusion"))
    .addOption(sharedOption("runFolder", { more: "takes receipt.json, report.html and what the protocol leaves" }))
    .addOption(sharedOption("force", { default: false }));
  if (protocol.isResumable)
    command
      .addOption(sharedOption("resume", { default: false }))
      .addOption(sharedOption("override", { default: false }));
  addEncoderOptions(command).action(() => evaluate(context, protocol, command));
  return finishCommand(command, protocol.example);
}

async function evaluate<Options extends ProtocolOptions>(
  context: CommandContext,
  protocol: Protocol<Options>,
  command: Command,
): Promise<void> {
  const given = command.opts<Options>();
  const output = outputOf(context, given);
  const where = given.dryRun ? nowhere : await openEvaluationFolder(protocol.name, command, given, output);
  const interruption = listenForInterruption((text) => output.notice(text));
  try {
    const preset = applyPreset(protocol, command);
    if (preset) output.notice(usedPresetText(preset, command.opts()));
    const remembered = command.opts<Options>(); // with what a run that goes on began with
    const options = protocol.complete?.(remembered) ?? remembered;
    await checkOptions(protocol, options, command);
    const session = { protocol, command, output, signal: interruption.signal, preset };
    const isFinished = await evaluateAll(session, options, where).catch((error: unknown) => {
      if (interruption.signal.aborted && error === interruption.signal.reason) return false; // while images were encoded
      throw error;
    });
    if (!isFinished) await endInterrupted(protocol, where, interruption, context, output);
  } finally {
    interruption.stop();
    await where.release();
  }
}

async function checkOptions<Options extends ProtocolOptions>(
  protocol: Protocol<Options>,
  options: Options,
  command: Command,
): Promise<void> {
  const { weights, images, test, compare, predictions, confusion, force, config, out } = options;
  if (weights === undefined || images === undefined)
    throw new UsageError(`evaluate ${protocol.name}: --weights and --images are needed`);
  checkPredictionFiles(options);
  const own = protocol.touched?.(options) ?? {};
  const reads = { "--weights": weights, "--images": images, "--test": test, "--compare": compare, "--config": config };
  await checkTouchedPaths(`evaluate ${protocol.name}`, {
    reads: { ...reads, ...own.reads },
    writes: { "--predictions": predictions, "--confusion": confusion, ...own.writes },
    ...(out === undefined ? {} : { folder: { path: out, files: runFiles } }),
    overwrite: force || isResumed(options),
  });
  await protocol.check?.(options, command);
}

/** One command line at work. */
interface Session<Options extends ProtocolOptions> {
  readonly protocol: Protocol<Options>;
  readonly command: Command;
  readonly output: Output;
  readonly signal: AbortSignal;
  readonly preset: UsedPreset | undefined;
}

/** @returns whether it is finished */
async function evaluateAll<Options extends ProtocolOptions>(
  session: Session<Options>,
  options: Options,
  where: EvaluationFolder,
): Promise<boolean> {
  const { output } = session;
  const first = await evaluateOne(session, options, where);
  if (!first) return false;
  const { compare } = options;
  if (compare === undefined) {
    await writeShown(where, first.result);
    await writePage(where, output);
    show(first, output);
    showPublished([first], output);
    output.result({ ...first.evaluation } satisfies EvaluationLine);
    return true;
  }
  const other = { ...options, weights: compare, predictions: undefined, confusion: undefined };
  const inside = await comparedFolder(where, { isOverride: options.override === true, output });
  const second = await evaluateOne(session, other, inside, true);
  if (!second) return false;
  requireSameProtocol(first.evaluation.receipt, second.evaluation.receipt);
  show(first, output);
  show(second, output);
  const differences = differencesOf(first.result, second.result);
  await writeShown(where, first.result, differences);
  await writeShown(inside, second.result);
  await writePage(where, output);
  for (const row of comparisonTable(first.result, second.result, differences)) output.line(tableLine(row));
  showPublished([first, second], output);
  output.result({
    ...first.evaluation,
    compared: { ...second.evaluation, differences },
  } satisfies EvaluationLine);
  return true;
}

/** One encoder's numbers. */
interface Evaluated {
  readonly result: ProtocolResult;
  readonly evaluation: Evaluation;
}

/** @returns undefined if it was interrupted */
async function evaluateOne<Options extends ProtocolOptions>(
  { protocol, command, output, signal, preset }: Session<Options>,
  options: Options,
  given: EvaluationFolder,
  isSecond = false,
): Promise<Evaluated | undefined> {
  const startMs = performance.now();
  const { openImages } = protocol;
  const store = given.folder ?? new MemoryRunStore();
  let where = given;
  let begun: Begun | undefined; // by an attempt whose device was lost
  const openDevice = async (): Promise<Device> => {
    const device = await openEvaluationDevice(where, options, output);
    if (begun) device.tuning.load(begun.tuning);
    return device;
  };
  const begin = async (job: EvaluationJob): Promise<Begun | undefined> => {
    const planned = { ...job, output, resume: where.stored !== undefined };
    if ((await protocol.plan?.(planned, options, command)) === false) return undefined;
    const inputs = await receiptInputs(job, options, { fits: protocol.fits?.(options) ?? true });
    if (inputs.train && !isSecond && isSame(inputs.train, inputs.test))
      output.warning("the test images are the training images: the number says nothing of new ones (--test)");
    const { device } = job;
    const others = where.folder ? await otherDigests(protocol, job, options) : {};
    where = await beginEvaluation(where, { protocol: protocol.name, device, command, inputs, others, output });
    return { inputs, tuning: device.tuning.entries() };
  };
  return withEvaluationJob(
    options,
    output,
    async (job) => {
      const resume = begun ? protocol.isResumable : where.stored !== undefined;
      begun ??= await begin(job);
      if (!begun) return undefined;
      const run = { ...job, store, hasPage: where.hasPage, isSecond, resume, signal, output };
      const found = await protocol.evaluate(run, options, command);
      if (!found) return undefined;
      const result = { preset, ...found };
      const receipt = receiptOf(protocol.name, result, begun.inputs, job, options);
      await writeFiles(result, options, job.test);
      await where.folder?.writeText(receiptFile, `${JSON.stringify(receipt, null, 2)}\n`);
      const seconds = (performance.now() - startMs) / 1000;
      return { result, evaluation: { receipt, details: { ...result.details }, seconds } };
    },
    {
      openDevice,
      recovery: { store, signal },
      ...(openImages ? { openImages: (...given: OpenImages) => openImages(options, ...given, output) } : {}),
    },
  );
}

/** Whether two sets have the same images, by their digests. */
function isSame(a: ReceiptInputs["test"], b: ReceiptInputs["test"]): boolean {
  const [one, other] = [a, b].map(({ digest, pixels }) => JSON.stringify([digest, pixels]));
  return one === other;
}

async function otherDigests<Options extends ProtocolOptions>(
  protocol: Protocol<Options>,
  job: EvaluationJob,
  options: Options,
): Promise<Readonly<Record<string, string>>> {
  const { config } = options;
  return {
    ...(config === undefined ? {} : { "the settings file (--config)": await fileDigest(config) }),
    ...(await protocol.digests?.(job, options)),
  };
}

/** What stays of an attempt for the next one. */
interface Begun {
  readonly inputs: ReceiptInputs;
  /** Kernel variants of its device. */
  readonly tuning: ReturnType<Device["tuning"]["entries"]>;
}

type OpenImages = Parameters<NonNullable<JobDoors["openImages"]>>;

/** Leaves what the page shows beside the receipt, so that `mimrefine report` makes it again. */
async function writeShown(
  { folder }: EvaluationFolder,
  { shown }: ProtocolResult,
  differences: readonly Difference[] = [],
): Promise<void> {
  await folder?.writeText(evaluationDataFile, `${JSON.stringify({ ...shown, differences })}\n`);
}

async function writePage({ folder }: EvaluationFolder, output: Output): Promise<void> {
  if (!folder) return;
  const path = join(folder.name, "report.html");
  await writeEvaluationReport(folder.name, path);
  output.notice(`page: ${path}`);
  const run = runAround(folder.name);
  if (run !== undefined) output.notice(`into the report of the run: mimrefine report ${run}`);
}

async function writeFiles(
  { predictions, writePredictions: writeOwn }: ProtocolResult,
  options: ProtocolOptions,
  test: Parameters<typeof writePredictions>[2],
): Promise<void> {
  if (writeOwn) {
    if (options.predictions !== undefined) await writeOwn(options.predictions);
    return;
  }
  if (!predictions) {
    if (options.predictions === undefined && options.confusion === undefined) return;
    throw new UsageError("evaluate: this protocol predicts no classes; drop --predictions and --confusion");
  }
  if (options.predictions !== undefined) await writePredictions(options.predictions, predictions, test);
  if (options.confusion !== undefined) await writeConfusion(options.confusion, predictions);
}

function show({ result, evaluation }: Evaluated, output: Output): void {
  const { encoder, test, train } = evaluation.receipt;
  for (const row of result.table) output.line(tableLine(row));
  for (const text of [result.selection.text, ...(result.remarks ?? [])]) output.line(shown(text));
  for (const row of sensitivityTable(result.sensitivity)) output.line(tableLine(row));
  const images = train ? `${test.images} test and ${train.images} training images` : `${test.images} test images`;
  output.notice(`${encoder.weights}: ${images} in ${evaluation.seconds.toFixed(1)} s`);
}

function showPublished(evaluated: readonly Evaluated[], output: Output): void {
  for (const line of publishedLines(evaluated.map(({ evaluation }) => evaluation.receipt))) output.line(line);
}

async function endInterrupted<Options extends ProtocolOptions>(
  { name, isResumable }: Protocol<Options>,
  { folder }: EvaluationFolder,
  interruption: Interruption,
  context: CommandContext,
  output: Output,
): Promise<void> {
  const code = interruption.exitCode();
  if (code === undefined) return;
  if (folder && isResumable) output.notice(`saved; go on with: mimrefine evaluate ${name} --resume ${folder.name}`);
  else {
    if (folder) await removeOldRun(folder); // what tells that a run is there would keep the next one out
    output.notice("ended early; nothing was kept");
  }
  context.exitCode = code;
}
