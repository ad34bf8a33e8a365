import { Command } from "commander";
import { type Output, tableLine } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { type Interruption, listenForInterruption } from "../program/interrupt.ts";
import { addEncoderOptions } from "../program/options.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { UsageError } from "../program/usage_error.ts";
import { removeOldRun, runFiles } from "../runs/run_folder.ts";
import { comparisonTable, differencesOf } from "./comparison.ts";
import { type EvaluationSession, evaluateEncoder } from "./encoder_evaluation.ts";
import {
  comparedFolder,
  type EvaluationFolder,
  isResumed,
  nowhere,
  openEvaluationFolder,
} from "./evaluation_folder.ts";
import type { EvaluationLine } from "./evaluation_line.ts";
import { showEncoder, showPublished, writePage, writeShown } from "./evaluation_output.ts";
import { checkPredictionFiles } from "./prediction_files.ts";
import type { Protocol, ProtocolOptions } from "./protocol.ts";
import { applyPreset, usedPresetText } from "./protocol_presets.ts";
import { requireSameProtocol } from "./receipt.ts";

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

/** @returns whether it is finished */
async function evaluateAll<Options extends ProtocolOptions>(
  session: EvaluationSession<Options>,
  options: Options,
  where: EvaluationFolder,
): Promise<boolean> {
  const { output } = session;
  const first = await evaluateEncoder(session, options, where);
  if (!first) return false;
  const { compare } = options;
  if (compare === undefined) {
    await writeShown(where, first.result);
    await writePage(where, output);
    showEncoder(first, output);
    showPublished([first], output);
    output.result({ ...first.evaluation } satisfies EvaluationLine);
    return true;
  }
  const other = { ...options, weights: compare, predictions: undefined, confusion: undefined };
  const inside = await comparedFolder(where, { isOverride: options.override === true, output });
  const second = await evaluateEncoder(session, other, inside, true);
  if (!second) return false;
  requireSameProtocol(first.evaluation.receipt, second.evaluation.receipt);
  showEncoder(first, output);
  showEncoder(second, output);
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
