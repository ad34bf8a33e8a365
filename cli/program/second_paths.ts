import type { Command } from "commander";
import { UsageError } from "./usage_error.ts";

/** Makes a command refuse a path that is given for the same option a second time: the first one would be dropped without a word. */
export function refuseSecondPaths(command: Command): void {
  for (const option of command.options) {
    if (!/<(file|path|folder)>|\[run\]/.test(option.flags)) continue;
    let first: string | undefined;
    command.on(`option:${option.name()}`, (value: string | null) => {
      if (first !== undefined && value !== first)
        throw new UsageError(
          `${command.name()}: ${option.long} was given twice (${first}, then ${value}), and takes one path; images in several folders go into one folder of links, or a list (path,label)`,
        );
      first = value ?? "";
    });
  }
}
