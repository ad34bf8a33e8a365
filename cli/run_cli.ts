import { Command, CommanderError } from "commander";
import { DeviceLostError } from "../engine/core/errors.ts";
import { shownText } from "../engine/core/shown.ts";
import packageJson from "../package.json" with { type: "json" };
import { attentionCommand } from "./commands/attention.ts";
import { benchCommand } from "./commands/bench.ts";
import { configCommand } from "./commands/config.ts";
import { convertCommand } from "./commands/convert.ts";
import { demoCommand } from "./commands/demo.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { embedCommand } from "./commands/embed.ts";
import { evaluateCommand } from "./commands/evaluate.ts";
import { exportStepCommand } from "./commands/export_step.ts";
import { finetuneCommand } from "./commands/finetune.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { knnCommand } from "./commands/knn.ts";
import { layersCommand } from "./commands/layers.ts";
import { predictCommand } from "./commands/predict.ts";
import { pretrainCommand } from "./commands/pretrain.ts";
import { refineCommand } from "./commands/refine.ts";
import { reportCommand } from "./commands/report.ts";
import { searchCommand } from "./commands/search.ts";
import { verifyCommand } from "./commands/verify.ts";
import { clearLine, type Streams } from "./output/streams.ts";
import type { CommandContext } from "./program/context.ts";
import { exitCodeHelp, exitCodes } from "./program/exit_codes.ts";
import { acceptOldSpellings } from "./program/old_spellings.ts";
import { checkLauncher, failRank, launchedRank, leaveRanks, streamsOf } from "./program/ranks.ts";
import { refuseSecondPaths } from "./program/second_paths.ts";
import { UsageError } from "./program/usage_error.ts";

/** The commands in the order of the help text. */
const commands: readonly ((context: CommandContext) => Command)[] = [
  demoCommand,
  refineCommand,
  pretrainCommand,
  evaluateCommand,
  finetuneCommand,
  predictCommand,
  attentionCommand,
  knnCommand,
  layersCommand,
  searchCommand,
  reportCommand,
  verifyCommand,
  embedCommand,
  inspectCommand,
  convertCommand,
  exportStepCommand,
  configCommand,
  doctorCommand,
  benchCommand,
];

/** Commands that leave nothing but what they print, so that without a reader there is nothing left to do. */
const printingCommands = new Set(["knn", "layers", "search", "inspect", "doctor", "predict"]);

/** What a pattern becomes that the shell has expanded. */
const onePath =
  "Each option and argument takes one path: instead of a pattern or several paths give a folder, or a list of images (path,label).";

/** The program with all its commands, which act in `context`. */
export function createProgram(context: CommandContext): Command {
  const program = new Command("mimrefine")
    .description("Refine vision transformers that were pre-trained by masked image modelling, on any GPU.")
    .version(packageJson.version, "-v, --version")
    .addHelpText(
      "after",
      `\n${exitCodeHelp}\nRun mimrefine COMMAND --help for the options of a command and an example.`,
    );
  program.hook("preAction", (_, command) => {
    checkLauncher(withParents(command).at(-2)?.name() ?? command.name());
    if (command.parent === program && printingCommands.has(command.name())) context.streams.endWithReader?.();
  });
  for (const create of commands) {
    const command = create(context);
    acceptOldSpellings(command, context);
    for (const one of withSubcommands(command)) refuseSecondPaths(one);
    program.addCommand(command);
  }
  for (const command of withSubcommands(program)) {
    command
      .exitOverride()
      .showHelpAfterError(`Run ${fullName(command)} --help for help.`)
      .configureOutput({
        writeOut: context.streams.out,
        writeErr: (text) => context.streams.err(shownText(text)),
        outputError: (text, write) =>
          write(text.includes("too many arguments") ? `${text.trimEnd()} ${onePath}\n` : text),
      });
  }
  return program;
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

/** A command, the one that it belongs to, and so on. */
function withParents(command: Command): Command[] {
  return [command, ...(command.parent ? withParents(command.parent) : [])];
}

/** Such as `mimrefine evaluate knn`. */
function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}

/**
 * Runs a command line.
 *
 * @param args - without the names of interpreter and script
 * @returns the exit code; nothing is thrown
 */
export async function runCli(args: readonly string[], streams: Streams, isDebug = false): Promise<number> {
  const launched = launchedRank();
  const context: CommandContext = { streams: streamsOf(launched, streams), args, exitCode: exitCodes.success };
  const program = createProgram(context);
  try {
    if (args.length === 0) {
      program.outputHelp();
      return exitCodes.usage;
    }
    await program.parseAsync(args, { from: "user" });
    await leaveRanks();
    return context.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.success : exitCodes.usage;
    const code = error instanceof UsageError ? exitCodes.usage : exitCodes.failure;
    if (launched) await failRank(launched, messageOf(error, isDebug), code);
    else {
      const start = streams.isTerminal ? clearLine : ""; // a bar may stand there
      streams.err(`${start}${shownText(messageOf(error, isDebug))}\n`);
    }
    return code;
  }
}

const intact = "what was written before is intact";
const again = "start again (refine, pretrain, finetune and many evaluations go on with --resume)";

const systemReasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder; check the path",
  EACCES: "permission denied; check who may read and write it",
  EISDIR: "it is a folder; give a file",
  ENOTDIR: "a part of the path is no folder; check the path",
  ENOSPC: `the disk is full; ${intact}: free some space and ${again}`,
  EFBIG: `the file may not become that large; ${intact}: raise the limit and ${again}`,
  EDQUOT: `the disk quota is used up; ${intact}: free some space and ${again}`,
};

/** Errors of the operating system in words. */
function systemReason(error: Error & { readonly code?: unknown; readonly path?: unknown }): string | undefined {
  const reason = typeof error.code === "string" ? systemReasons[error.code] : undefined;
  if (reason === undefined) return undefined;
  return `${typeof error.path === "string" ? `${error.path}: ` : ""}${reason} (${error.message})`;
}

/** One clear line, or everything for those who look for the cause. */
function messageOf(error: unknown, isDebug: boolean): string {
  if (!(error instanceof Error)) return `error: ${String(error)}`;
  if (isDebug && error.stack) return error.stack;
  if (error instanceof DeviceLostError)
    return `error: ${error.message.split(";")[0]}; ${again}, or choose another adapter with --adapter`;
  return `error: ${systemReason(error) ?? error.message.replace(/\s*\n\s*/g, " ")}`;
}
