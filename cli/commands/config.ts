import { Command } from "commander";
import { stringify } from "yaml";
import { writeBytesAtomic } from "../../engine/platform/files_node.ts";
import { refineConfig, refinePresets, refineSchema } from "../../refiner/index.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import type { CommonOptions } from "../program/options.ts";
import { checkedSettings, readSettings } from "../program/settings.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { UsageError } from "../program/usage_error.ts";

interface ConfigOptions extends CommonOptions {
  readonly preset?: string;
  readonly check?: string;
  readonly out?: string;
  readonly force: boolean;
}

/** `mimrefine config` */
export function configCommand(context: CommandContext): Command {
  const command = new Command("config")
    .summary("print, copy and validate settings of refine")
    .description(
      "Without a preset lists their names. With one prints all its settings, complete, as YAML that `refine --config` takes; --out writes them to a file. With --check validates a file.",
    )
    .argument("[preset]", "the same as --preset")
    .addOption(sharedOption("preset", { more: Object.keys(refinePresets).join(", ") }))
    .option("--check <file>", "YAML file to validate")
    .addOption(sharedOption("outFile", { more: "instead of printing" }))
    .addOption(sharedOption("force", { default: false }))
    .action((name: string | undefined, options: ConfigOptions) => config(context, name, options));
  return finishCommand(command, "mimrefine config small --out small.yaml\nmimrefine config --check small.yaml");
}

async function config(context: CommandContext, name: string | undefined, options: ConfigOptions): Promise<void> {
  const { preset: named = name } = options;
  if (name !== undefined && name !== named)
    throw new UsageError(`config: two presets, ${name} and ${named}; give one of them`);
  const output = outputOf(context, options);
  if (options.check !== undefined) {
    const given = await readSettings(options.check, refineSchema);
    const { preset, ...settings } = given.values;
    const base = typeof preset === "string" ? preset : undefined;
    const complete = checkedSettings(() => refineConfig(settings, base), given);
    output.line(`${options.check}: valid`);
    output.result({ file: options.check, valid: true, settings: complete });
    return;
  }
  if (named === undefined) {
    output.line(Object.keys(refinePresets).join("\n"));
    output.result({ presets: Object.keys(refinePresets) });
    return;
  }
  const settings = checkedSettings(() => refineConfig({}, named));
  const text = stringify(settings);
  if (options.out === undefined) output.line(text.trimEnd());
  else {
    await checkTouchedPaths("config", { writes: { "--out": options.out }, overwrite: options.force });
    await writeBytesAtomic(options.out, new TextEncoder().encode(text), { overwrite: options.force });
    output.line(`written: ${options.out}`);
  }
  output.result({ preset: named, settings, ...(options.out === undefined ? {} : { out: options.out }) });
}
