import { stat } from "node:fs/promises";
import { Command } from "commander";
import { shown } from "../../engine/core/shown.ts";
import type { Checkpoint, PlainValue } from "../../engine/files/index.ts";
import { OverLimitError } from "../../engine/index.ts";
import { formatReport, openEncoder, type StoredEncoder } from "../../models/checkpoints/index.ts";
import { type TensorStatistics, tensorStatistics } from "../checkpoints/tensor_statistics.ts";
import { withCheckpoint } from "../checkpoints/with_checkpoint.ts";
import { formatBytes, type Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import {
  addEncoderOptions,
  type CommonOptions,
  type EncoderCommandOptions,
  encoderOptions,
} from "../program/options.ts";

interface InspectOptions extends CommonOptions, EncoderCommandOptions {
  readonly stats: boolean;
}

/** `mimrefine inspect FILE` */
export function inspectCommand(context: CommandContext): Command {
  const command = new Command("inspect")
    .summary("show what a checkpoint holds")
    .description(
      "Shows the format of a checkpoint (safetensors, PyTorch, .npy), the encoder in it, and every tensor with type, shape, size and statistics. Nothing in the file is executed.",
    )
    .argument("<file>", "checkpoint: .safetensors, .pth, .pt, .th, .npy")
    .option("--no-stats", "do not read the values of the tensors");
  addEncoderOptions(command).action(async (file: string, options: InspectOptions) => {
    const output = outputOf(context, options);
    await withCheckpoint(file, (checkpoint) => inspect(checkpoint, file, options, output));
  });
  return finishCommand(command, "mimrefine inspect mae_pretrain_vit_base.pth");
}

async function inspect(checkpoint: Checkpoint, file: string, options: InspectOptions, output: Output): Promise<void> {
  const { size } = await stat(file);
  const encoder = await openEncoder(checkpoint, encoderOptions(options), file).catch((error: Error) => error);
  output.line(`${file}: ${checkpoint.format}, ${formatBytes(size)}, ${checkpoint.tensors.size} tensors`);
  if (encoder instanceof Error) output.line(shown(`no encoder that can be used: ${encoder.message}`));
  else showModel(encoder, output);
  for (const [key, value] of checkpoint.metadata) output.line(shown(`${key}: ${value}`));
  const rows: (Record<string, unknown> & Partial<TensorStatistics>)[] = [];
  for (const [name, { dtype, shape, sizeBytes }] of checkpoint.tensors) {
    const statistics = options.stats ? await statisticsOf(checkpoint, name, output) : {};
    rows.push({ name, dtype, shape, sizeBytes, ...statistics });
  }
  output.line();
  output.table([
    ["tensor", "type", "shape", "size", ...(options.stats ? ["min", "mean", "max", "std"] : [])],
    ...rows.map(({ name, dtype, shape, sizeBytes, min, mean, max, deviation }) => [
      String(name) || "(unnamed)",
      String(dtype),
      `[${shape}]`,
      formatBytes(Number(sizeBytes)),
      ...(options.stats ? [min, mean, max, deviation].map(shortNumber) : []),
    ]),
  ]);
  for (const { name, nonFinite } of rows)
    if (nonFinite) output.warning(`${name}: ${nonFinite} values are NaN or infinite`);
  output.result({
    file,
    format: checkpoint.format,
    sizeBytes: size,
    model: encoder instanceof Error ? null : { config: encoder.config, report: encoder.report },
    ...(encoder instanceof Error ? { reason: encoder.message } : {}),
    metadata: Object.fromEntries(checkpoint.metadata),
    plainValues: Object.fromEntries([...checkpoint.plainValues].map(([path, value]) => [path, plainJson(value)])),
    tensors: rows,
  });
}

/** JSON knows no bytes, infinities and NaN: base64, "inf", "-inf" and "nan". */
function plainJson(value: PlainValue): unknown {
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString("base64") };
  if (typeof value !== "number" || Number.isFinite(value)) return value;
  return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

/** Statistics of a tensor; none, with a warning, for one that is too large to hold. */
async function statisticsOf(checkpoint: Checkpoint, name: string, output: Output): Promise<Partial<TensorStatistics>> {
  try {
    return tensorStatistics(await checkpoint.read(name));
  } catch (error) {
    if (!(error instanceof OverLimitError)) throw error;
    output.warning(`${name}: no statistics: ${error.message}`);
    return {};
  }
}

function showModel({ config, report }: StoredEncoder, output: Output): void {
  const { kind, blocks, width, heads, patchPixels, channels, heightPixels, widthPixels, classTokens } = config;
  output.line(
    `encoder: ${kind} ViT, ${blocks} blocks of width ${width}, ${heads ?? "unknown"} heads, patches of ${patchPixels} pixels, ${channels} channels, ${heightPixels} × ${widthPixels} pixels, ${classTokens} class token${classTokens === 1 ? "" : "s"}`,
  );
  for (const line of formatReport(report)) output.line(shown(line));
}

function shortNumber(value: number | undefined): string {
  return value === undefined ? "" : value.toPrecision(4);
}
