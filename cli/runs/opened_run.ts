import type { Device } from "../../engine/index.ts";
import { type Exchange, oneRank } from "../../refiner/exchange/exchange.ts";
import { RunFolder } from "../../refiner/training/run_folder_node.ts";
import type { Output } from "../output/streams.ts";
import type { CommandContext } from "../program/context.ts";
import type { Interruption } from "../program/interrupt.ts";
import { type CommonOptions, openCommandDevice } from "../program/options.ts";
import { checkedSettings } from "../program/settings.ts";
import { openRunFolder, removeOldRun } from "./run_folder.ts";
import {
  configFile,
  inModeOf,
  type RunInputs,
  readStoredRun,
  resumedSettings,
  resumeOn,
  type StoredRun,
  writeStoredRun,
} from "./stored_run.ts";

/** Options of commands that train in a run folder. */
export interface RunOptions extends CommonOptions {
  readonly out: string;
  /** A folder, true for that of `--out`, or false. */
  readonly resume: boolean | string;
  readonly override: boolean;
  readonly force: boolean;
}

/** Commands that train in a run folder. */
export type TrainingCommand = "refine" | "pretrain" | "finetune";

/** A run that begins, or goes on. */
export interface OpenedRun<Config extends object> {
  readonly command: TrainingCommand;
  readonly out: string;
  readonly store: RunFolder;
  /** Gives the folder free for other processes. */
  readonly release: () => Promise<void>;
  readonly config: Config;
  /** What a run that goes on says about itself; undefined for a new one. */
  readonly stored: StoredRun | undefined;
}

/** What a command knows of its run before it is opened. */
export interface RunRequest<Config> {
  /** Settings that were given, checked already. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly parse: (settings: Record<string, unknown>) => Config;
  /** What is read, by the option that names it. */
  readonly reads: Readonly<Record<string, string | undefined>>;
  readonly output: Output;
}

/**
 * Opens the folder of a run, and completes its settings by those that it began with. Of several ranks the first one holds it, and
 * the others read what stands there.
 *
 * @throws UsageError
 */
export async function openRun<Config extends object>(
  command: TrainingCommand,
  options: RunOptions,
  { settings, parse, reads, output }: RunRequest<Config>,
  exchange: Exchange = oneRank,
): Promise<OpenedRun<Config>> {
  const isResumed = options.resume !== false;
  const out = typeof options.resume === "string" ? options.resume : options.out;
  const { store, release } =
    exchange.rank === 0
      ? await openRunFolder(command, out, { resume: isResumed, force: options.force, reads })
      : { store: new RunFolder(out), release: async () => undefined };
  await exchange.share(""); // the first one has checked the folder
  try {
    const opened = { command, out, store, release };
    if (!isResumed) return { ...opened, config: parse({ ...settings }), stored: undefined };
    const stored = await readStoredRun(store, command, { isOverride: options.override, output });
    inModeOf(stored, options);
    const all = resumedSettings(stored.settings, settings, options.override);
    const place = { file: `${out}/${configFile}`, fileKeys: new Set(Object.keys(stored.settings)) };
    return { ...opened, config: checkedSettings(() => parse(all), place), stored };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Opens the device of a run; one that goes on has the kernel variants that it began with. */
export async function openRunDevice<Config extends object>(
  { stored, config }: OpenedRun<Config>,
  options: CommonOptions,
  output: Output,
  exchange: Exchange = oneRank,
): Promise<Device> {
  const reproducible = options.reproducible || ("reproducible" in config && config.reproducible === true); // of --config
  if (!stored) return openCommandDevice({ ...options, reproducible }, output, exchange.rank === 0 ? "cache" : "stored");
  const device = await openCommandDevice(inModeOf(stored, options), output, "stored");
  const difference = resumeOn(device, stored);
  if (difference !== undefined) output.warning(difference);
  return device;
}

/**
 * Called before the run writes anything: removes the run that it replaces, and writes what it says about itself.
 *
 * @returns the run as it goes on if its device is lost
 */
export async function beginRun<Config extends object>(
  run: OpenedRun<Config>,
  device: Device,
  inputs: RunInputs,
): Promise<OpenedRun<Config>> {
  const { command, store, config, stored } = run;
  if (!stored) await removeOldRun(store);
  await writeStoredRun(store, command, device, { ...inputs, settings: config });
  return { ...run, stored: await readStoredRun(store, command) };
}

/** Tells kernel variants that a run began with and that this version does not have. */
export function tellUnknownVariants<Config extends object>(
  { stored }: OpenedRun<Config>,
  device: Device,
  output: Output,
): void {
  const unknown = stored ? device.tuning.unknownChoices() : [];
  const [first] = unknown;
  if (first !== undefined)
    output.warning(
      `${unknown.length} kernel variants that the run began with are not known (such as ${first}): the built-in ones were used, and the numbers may differ slightly from those of an uninterrupted run`,
    );
}

/** Says how to go on with a run that a signal ended early, and sets the exit code that tells which. */
export function endInterrupted<Config extends object>(
  { command, out }: OpenedRun<Config>,
  interruption: Interruption,
  context: CommandContext,
  output: Output,
): void {
  const code = interruption.exitCode();
  if (code === undefined) return;
  output.notice(`saved; go on with: mimrefine ${command} --resume ${out}`);
  context.exitCode = code;
}
