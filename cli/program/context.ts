import type { Command } from "commander";
import { Output, type Streams } from "../output/streams.ts";
import { addCommonOptions, type CommonOptions } from "./options.ts";

/** What a command is given, and where it leaves its exit code. */
export interface CommandContext {
  readonly streams: Streams;
  /** The command line, without the names of interpreter and script. */
  readonly args?: readonly string[];
  exitCode: number;
}

/** Adds the common options and the help's example to a command. */
export function finishCommand(command: Command, example: string): Command {
  return addCommonOptions(command).addHelpText("after", `\nExample:\n${indent(example)}`);
}

/** The output that a command's options ask for. */
export function outputOf(context: CommandContext, { json, quiet }: Pick<CommonOptions, "json" | "quiet">): Output {
  return new Output(context.streams, { json, quiet });
}

function indent(text: string): string {
  return text
    .trim()
    .split("\n")
    .map((line) => `  ${line.trim()}`)
    .join("\n");
}
