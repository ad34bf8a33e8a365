import { type Command, Option } from "commander";
import { type Device, loadTuning, openDevice, tuneProgram } from "../../engine/index.ts";
import type { EncoderOptions } from "../../models/checkpoints/index.ts";
import type { Output } from "../output/streams.ts";
import { epsilon, resolution, wholeNumber } from "./parsers.ts";
import { sharedOption } from "./shared_options.ts";

/** Options that every command takes. */
export interface CommonOptions {
  readonly json: boolean;
  readonly seed: number;
  readonly adapter?: string;
  readonly robust: boolean;
  /** The same bytes on every adapter, compiler and runtime. */
  readonly reproducible: boolean;
  /** False: the built-in choice of kernel variants. */
  readonly tune: boolean;
  readonly quiet: boolean;
}

const seed = wholeNumber(0);

export function addCommonOptions(command: Command): Command {
  return command
    .option("--json", "print the result as one line of JSON on stdout", false)
    .option("--seed <number>", "seed of all random numbers; the same seed gives the same result", seed, 0)
    .option(
      "--adapter <name>",
      "auto, hardware, software, interpreter (no GPU, no driver, slow), or a part of the adapter's name (default: auto)",
    )
    .option("--robust", "leave the driver's index clamping on; slower, for hunting a crash", false)
    .option(
      "--reproducible",
      "give the same bytes on every adapter, at some cost in time; f32 only, and a run that goes on keeps it",
      false,
    )
    .option("--no-tune", "use the built-in kernel variants, not those measured on this machine")
    .option("-q, --quiet", "print results, warnings and errors only", false);
}

/** Options of commands that load an encoder. */
export interface EncoderCommandOptions {
  readonly attentionHeads?: number;
  readonly epsilon?: number;
  readonly classPosition?: "exact" | "as-published";
  readonly resolution?: readonly [heightPixels: number, widthPixels: number];
  readonly layerScale?: "fold" | "keep";
  readonly place?: string;
  readonly allowMissing?: boolean;
  readonly allowLeftOver?: boolean;
}

export function addEncoderOptions(command: Command): Command {
  return addLoadingOptions(command.addOption(sharedOption("attentionHeads", { more: "where the file does not tell" })));
}

/** The same where the number of heads is a setting. */
export function addLoadingOptions(command: Command): Command {
  return command
    .option("--epsilon <number>", "epsilon of the norms, where the file does not tell (default: 1e-6)", epsilon)
    .addOption(
      new Option(
        "--class-position <how>",
        "position row of the class token: exact adds it to the token, as-published drops it as the authors' loader does (default: exact)",
      ).choices(["exact", "as-published"]),
    )
    .option(
      "--resolution <pixels>",
      "height x width that the stored positions belong to, such as 224x448, where they are no square grid and the file does not tell",
      resolution,
    )
    .addOption(
      new Option(
        "--layer-scale <how>",
        "stored factors of LayerScale: fold multiplies them into the layers before them, keep makes them parameters (default: fold; keep for files of mimrefine that have them)",
      ).choices(["fold", "keep"]),
    )
    .option("--place <path>", "which encoder of the file, as inspect lists them (for instance student/backbone.)")
    .option("--allow-missing", "give parameters that are not in the file start values")
    .option("--allow-left-over", "ignore tensors and statements of the file that have no place in the encoder");
}

/** Those options of a command that are about its encoder, without the ones that were not given. */
export function encoderInputs(options: EncoderCommandOptions): EncoderCommandOptions {
  const { attentionHeads, epsilon, classPosition, resolution, layerScale, place, allowMissing, allowLeftOver } =
    options;
  return {
    ...(attentionHeads === undefined ? {} : { attentionHeads }),
    ...(epsilon === undefined ? {} : { epsilon }),
    ...(classPosition === undefined ? {} : { classPosition }),
    ...(resolution === undefined ? {} : { resolution }),
    ...(layerScale === undefined ? {} : { layerScale }),
    ...(place === undefined ? {} : { place }),
    ...(allowMissing === undefined ? {} : { allowMissing }),
    ...(allowLeftOver === undefined ? {} : { allowLeftOver }),
  };
}

/** The same for the loader. */
export function encoderOptions(options: EncoderCommandOptions): EncoderOptions {
  const { attentionHeads, ...given } = encoderInputs(options);
  return { ...given, ...(attentionHeads === undefined ? {} : { heads: attentionHeads }) };
}

/**
 * Opens the device that the options ask for; its notice goes to stderr. Kernel variants are those that were measured on this
 * adapter before, unless `--no-tune` asks for the built-in ones.
 *
 * @param from - `stored`: the choices are those of a run that goes on, which the caller loads
 */
export async function openCommandDevice(
  options: CommonOptions,
  output: Output,
  from: "cache" | "stored" = "cache",
): Promise<Device> {
  const device = await openDevice({
    notice: (line) => output.notice(line),
    robust: options.robust,
    reproducible: options.reproducible,
    ...(options.adapter === undefined ? {} : { adapter: options.adapter }),
  });
  if (options.tune && from === "cache") await loadTuning(device);
  return device;
}

/**
 * Measures the variants of a run's kernels on GPUs and remembers the fastest. The built-in choices for software adapters were
 * measured on such; `mimrefine bench --tune` measures them again.
 */
export function tuningOf(
  device: Device,
  options: CommonOptions,
  output: Output,
): ((record: () => void) => Promise<void>) | undefined {
  if (!options.tune || device.isSoftware) return undefined;
  return async (record) => {
    const choices = await tuneProgram(device, record);
    const measured = choices.filter(({ source }) => source === "measured").length;
    if (measured > 0) output.notice(`measured the variants of ${measured} operations on ${device.info.name}`);
  };
}
