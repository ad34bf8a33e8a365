import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { Command, Option } from "commander";
import { openCheckpoint } from "../../engine/files/index.ts";
import { fileSource, writeFileAtomic } from "../../engine/platform/files_node.ts";
import {
  decoderHeadsKey,
  formatReport,
  type NameStyle,
  nameStyles,
  openEncoder,
  storedDecoder,
  untoldOptions,
  type WeightDType,
  type WeightFormat,
  weightDTypes,
  weightFormats,
  withDecoder,
  writeEncoder,
} from "../../models/checkpoints/index.ts";
import { formatBytes, type Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import {
  addEncoderOptions,
  type CommonOptions,
  type EncoderCommandOptions,
  encoderOptions,
} from "../program/options.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { UsageError } from "../program/usage_error.ts";

interface ConvertOptions extends CommonOptions, EncoderCommandOptions {
  readonly names: NameStyle;
  readonly dtype: WeightDType;
  readonly format?: WeightFormat;
  readonly keepDecoder: boolean;
  readonly force: boolean;
}

/** `mimrefine convert IN OUT` */
export function convertCommand(context: CommandContext): Command {
  const command = new Command("convert")
    .summary("write the encoder of a checkpoint in another form")
    .description(
      "Reads the encoder of a checkpoint and writes it as safetensors, or as a file that torch.load(weights_only=True) and the authors' hub models read. Tensor by tensor: files larger than the memory are no problem.",
    )
    .argument("<in>", "checkpoint to read")
    .argument("<out>", "file to write")
    .addOption(
      new Option("--names <style>", "whose parameter names to use").choices([...nameStyles]).default("authors"),
    )
    .addOption(new Option("--dtype <type>", "element type to write").choices([...weightDTypes]).default("f32"))
    .addOption(
      new Option(
        "--format <format>",
        "file format (default: by the ending of the file, .safetensors, or .pth, .pt or .th)",
      ).choices([...weightFormats]),
    )
    .option("--keep-decoder", "with --names mae, write the decoder of a masked autoencoder, too", false)
    .addOption(sharedOption("force", { default: false }));
  addEncoderOptions(command).action((input: string, path: string, options: ConvertOptions) =>
    convert(input, path, options, outputOf(context, options)),
  );
  return finishCommand(command, "mimrefine convert mae_pretrain_vit_base.pth mae_b16.safetensors --dtype f16");
}

/** @throws UsageError for a name that tells no format */
function formatOf(path: string): WeightFormat {
  if (/\.(pth|pt|th)$/i.test(path)) return "pth";
  if (/\.safetensors$/i.test(path)) return "safetensors";
  throw new UsageError(`convert: ${path} ends with none of .safetensors, .pth, .pt, .th; choose one, or give --format`);
}

async function convert(input: string, path: string, options: ConvertOptions, output: Output): Promise<void> {
  const { names, dtype, keepDecoder, force } = options;
  if (keepDecoder && names !== "mae") throw new UsageError("convert: --keep-decoder goes with --names mae");
  await checkTouchedPaths("convert", { reads: { "<in>": input }, writes: { "<out>": path }, overwrite: force });
  const format = options.format ?? formatOf(path);
  const checkpoint = await openCheckpoint(await fileSource(input));
  try {
    const encoder = await openEncoder(checkpoint, encoderOptions(options), input);
    const { config } = encoder;
    const warnings: string[] = [];
    const decoder = keepDecoder ? [...storedDecoder(checkpoint, encoder.report, warnings)] : [];
    const report = withDecoder(
      encoder.report,
      decoder.flatMap(([, { sources }]) => sources),
    );
    for (const line of formatReport(report)) output.notice(line);
    const content = { config, parameters: new Map([...encoder.parameters, ...decoder]) };
    const method = checkpoint.metadata.get("mimrefine.method");
    const heads = keepDecoder ? checkpoint.metadata.get(decoderHeadsKey) : undefined;
    const described = {
      source: basename(input),
      ...(method === undefined ? {} : { method }),
      ...(heads === undefined ? {} : { metadata: { [decoderHeadsKey]: heads } }),
    };
    await writeFileAtomic(path, (sink) => writeEncoder(sink, content, { names, dtype, format, ...described }), {
      overwrite: force,
    });
    for (const warning of [...report.warnings, ...warnings]) output.warning(warning);
    const untold = untoldOptions(config, { names, format });
    if (untold.length > 0)
      output.warning(
        `${path}: names of ${names} in a PyTorch file do not tell everything about this encoder; to read it again, give ${untold.join(" ")}, or write safetensors instead`,
      );
    const { size } = await stat(path);
    output.line(`${path}: ${format}, ${dtype}, names of ${names}, ${formatBytes(size)}`);
    output.result({ in: input, out: path, format, dtype, names, sizeBytes: size, config, report });
  } finally {
    await checkpoint.close();
  }
}
