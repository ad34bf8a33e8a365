import { Command } from "commander";
import { stringify } from "yaml";
import { writeBytesAtomic } from "../../engine/platform/files_node.ts";
import { refineConfig, refinePresets } from "../../refiner/index.ts";
import { type CommandContext, finishCommand, outputOf } from "../context.ts";
import type { CommonOptions } from "../options.ts";
import { asLists, readSettings } from "../settings.ts";

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
      "Without options lists the presets. With --preset prints all settings of one, complete, as YAML that `refine --config` takes; --out writes them to a file. With --check validates a file.",
    )
    .option("--preset <name>", `one of ${Object.keys(refinePresets).join(", ")}`)
    .option("--check <file>", "YAML file to validate")
    .option("--out <file>", "file to write instead of printing")
    .option("--force", "overwrite the file", false)
    .action((options: ConfigOptions) => config(context, options));
  return finishCommand(
    command,
    "mimrefine config --preset small --out small.yaml\nmimrefine config --check small.yaml",
  );
}

async function config(context: CommandContext, options: ConfigOptions): Promise<void> {
  const output = outputOf(context, options);
  if (options.check !== undefined) {
    const { preset, ...settings } = asLists(await readSettings(options.check), ["heads"]);
    const complete = refineConfig(settings, typeof preset === "string" ? preset : undefined);
    output.line(`${options.check}: valid`);
    output.result({ file: options.check, valid: true, settings: complete });
    return;
  }
  if (options.preset === undefined) {
    output.line(Object.keys(refinePresets).join("\n"));
    output.result({ presets: Object.keys(refinePresets) });
    return;
  }
  const settings = refineConfig({}, options.preset);
  const text = stringify(settings);
  if (options.out === undefined) output.line(text.trimEnd());
  else {
    await writeBytesAtomic(options.out, new TextEncoder().encode(text), { overwrite: options.force });
    output.line(`written: ${options.out}`);
  }
  output.result({ preset: options.preset, settings, ...(options.out === undefined ? {} : { out: options.out }) });
}
