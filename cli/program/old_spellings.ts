import { type Command, Option } from "commander";
import { type CommandContext, outputOf } from "./context.ts";

/** Former names of options, per command: the old one and the one that it has now. */
export const oldSpellings: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  refine: { "--pooling": "--pool" },
  knn: { "--heads": "--attention-heads", "--temperature": "--k-temperature" },
  layers: { "--heads": "--attention-heads", "--temperature": "--k-temperature" },
  search: { "--heads": "--attention-heads" },
  embed: { "--heads": "--attention-heads" },
  inspect: { "--heads": "--attention-heads" },
  convert: { "--heads": "--attention-heads" },
};

/** Lets a command take the former names of its options: absent from the help, and with a notice that names the new one. */
export function acceptOldSpellings(command: Command, context: CommandContext): void {
  const used = new Map<string, string>();
  for (const [old, now] of Object.entries(oldSpellings[command.name()] ?? {})) {
    const target = command.options.find(({ long }) => long === now);
    if (!target) throw new Error(`${command.name()}: ${old} stands for ${now}, which is no option`);
    const placeholder = /[<[].*$/.exec(target.flags)?.[0] ?? "";
    const option = new Option(`${old} ${placeholder}`.trimEnd(), `former name of ${now}`).hideHelp();
    if (target.parseArg) option.parseArg = target.parseArg;
    command.addOption(option);
    // Commander has parsed and stored the value under the old name by now.
    command.on(`option:${option.name()}`, () => {
      used.set(old, now);
      command.setOptionValueWithSource(target.attributeName(), command.getOptionValue(option.attributeName()), "cli");
    });
  }
  command.hook("preAction", () => {
    const output = outputOf(context, command.opts());
    for (const [old, now] of used) output.notice(`${old} is now called ${now}; the old name still works`);
  });
}
