import { type Command, InvalidArgumentError, Option } from "commander";
import { type Device, loadTuning, openDevice, tuneProgram } from "../../engine/index.ts";
import type { EncoderOptions } from "../../models/checkpoints/index.ts";
import { workersSchema } from "../../refiner/index.ts";
import type { Output } from "../output/streams.ts";

/** Options that every command takes. */
export interface CommonOptions {
  readonly json: boolean;
  readonly seed: number;
  readonly adapter?: string;
  readonly robust: boolean;
  /** False: the built-in choice of kernel variants. */
  readonly tune: boolean;
  readonly quiet: boolean;
}

export function addCommonOptions(command: Command): Command {
  return command
    .option("--json", "print the result as one line of JSON on stdout", false)
    .option("--seed <number>", "seed of all random numbers; the same seed gives the same result", wholeNumber(0), 0)
    .option("--adapter <name>", "auto, hardware, software, or a part of the adapter's name (default: auto)")
    .option("--robust", "leave the driver's index clamping on; slower, for hunting a crash", false)
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

/** @param headsFlag - what the number of attention heads is called, where `--heads` is taken */
export function addEncoderOptions(command: Command, headsFlag = "--heads, --attention-heads"): Command {
  return command
    .option(`${headsFlag} <number>`, "attention heads of the encoder, where the file does not tell", wholeNumber(1))
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

function epsilon(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value > 0 && value < 1))
    throw new InvalidArgumentError("expected a number above 0 and below 1, such as 1e-6.");
  return value;
}

/** Parses a resolution such as 224x448 (height first). */
function resolution(text: string): readonly [number, number] {
  const [, height = "", width = ""] = /^([1-9]\d{0,4})x([1-9]\d{0,4})$/.exec(text) ?? [];
  if (height === "") throw new InvalidArgumentError("expected height x width in pixels, such as 224x448.");
  return [Number(height), Number(width)];
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

/** How many threads decode images, where that is no setting of a run. */
export function workersOption(): Option {
  return new Option("--workers <threads>", workersSchema.description)
    .argParser((text): number | "auto" => (text === "auto" ? text : wholeNumber(0, 256)(text)))
    .default("auto");
}

/** Parses a whole number of at least `least`. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      const range = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`;
      throw new InvalidArgumentError(`expected a whole number ${range}.`);
    }
    return value;
  };
}

/** Parses a share from 0 to 1. */
export function share(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value <= 1)) {
    throw new InvalidArgumentError("expected a share from 0 to 1, such as 0.01.");
  }
  return value;
}

/** Parses a size of memory in bytes: 24GB, 512MiB, 1000000. */
export function memorySize(text: string): number {
  const [, number = "", unit = ""] = /^([\d.]+)\s*([kmgt]?i?b)?$/i.exec(text.trim()) ?? [];
  const power = "bkmgt".indexOf((unit.charAt(0) || "b").toLowerCase());
  const bytes = Number(number) * (unit.toLowerCase().includes("i") ? 1024 : 1000) ** power;
  if (number === "" || !(bytes > 0)) throw new InvalidArgumentError("expected a size of memory, such as 24GB.");
  return bytes;
}
