import type { Command } from "commander";
import type { Device } from "../../engine/index.ts";
import type { RunFolder } from "../../refiner/training/run_folder_node.ts";
import type { Output } from "../output/streams.ts";
import { type CommonOptions, openCommandDevice } from "../program/options.ts";
import { UsageError } from "../program/usage_error.ts";
import { comparedPart, openRunFolder, removeOldRun } from "../runs/run_folder.ts";
import {
  checkSameData,
  configFile,
  inModeOf,
  type Overriding,
  readStoredRun,
  resumeOn,
  type StoredRun,
  writeStoredRun,
} from "../runs/stored_run.ts";
import type { ProtocolOptions } from "./protocol.ts";
import type { ReceiptInputs } from "./receipt.ts";
import { givenOptions, recallOptions } from "./remembered_options.ts";

/** Where an evaluation leaves its files, and what it began with if it goes on. */
export interface EvaluationFolder {
  readonly folder: RunFolder | undefined;
  readonly stored: StoredRun | undefined;
  /** Whether a page is made of it: that of the second encoder of a comparison is the first's. */
  readonly hasPage: boolean;
  readonly release: () => Promise<void>;
}

export const nowhere: EvaluationFolder = {
  folder: undefined,
  stored: undefined,
  hasPage: false,
  release: async () => undefined,
};

/**
 * Opens the folder of `--out` or `--resume`, if there is one; an evaluation that goes on gets the options that it began with.
 *
 * @throws UsageError for another protocol, a run that is there already, or none to go on with
 */
export async function openEvaluationFolder(
  protocol: string,
  command: Command,
  options: ProtocolOptions,
  output: Output,
): Promise<EvaluationFolder> {
  const goesOn = isResumed(options);
  const path = typeof options.resume === "string" ? options.resume : options.out;
  if (path === undefined) {
    if (goesOn) throw new UsageError("evaluate: --resume needs the folder of the run, here or as --out");
    return nowhere;
  }
  const reads = { "--weights": options.weights, "--compare": options.compare };
  const { store, release } = await openRunFolder("evaluate", path, { resume: goesOn, force: options.force, reads });
  try {
    if (!goesOn) return { folder: store, stored: undefined, hasPage: true, release };
    const isOverride = options.override === true;
    const stored = await readStoredRun(store, "evaluate", { isOverride, output });
    const { protocol: began, options: remembered } = stored.settings;
    if (began !== protocol)
      throw new UsageError(`${path}: the run was begun by evaluate ${began}${remedy(command, String(began), path)}`);
    recallOptions(command, isRecord(remembered) ? remembered : {}, isOverride);
    return { folder: store, stored, hasPage: true, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** What to do with the run of another protocol; not all protocols go on with theirs. */
function remedy(command: Command, began: string, path: string): string {
  const other = command.parent?.commands.find((one) => one.name() === began);
  if (other?.options.some(({ long }) => long === "--resume"))
    return `; go on with: mimrefine evaluate ${began} --resume ${path}`;
  return `, which does not go on with runs; start it over: mimrefine evaluate ${began} … --out ${path} --force`;
}

/** Whether a run is to be gone on with. */
export function isResumed({ resume }: Pick<ProtocolOptions, "resume">): boolean {
  return resume !== undefined && resume !== false;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The device of an evaluation: one that goes on has the kernel variants that it began with. */
export async function openEvaluationDevice(
  { stored }: EvaluationFolder,
  options: CommonOptions,
  output: Output,
): Promise<Device> {
  if (!stored) return openCommandDevice(options, output);
  const device = await openCommandDevice(inModeOf(stored, options), output, "stored");
  const difference = resumeOn(device, stored);
  if (difference !== undefined) output.warning(difference);
  return device;
}

/**
 * Called before an evaluation writes anything: removes what it replaces, and writes what it was asked for. One that goes on is
 * compared with what it began with.
 *
 * @returns where it goes on if its device is lost
 * @throws UsageError if its images or weights are others by now, unless overriding
 */
export async function beginEvaluation(
  where: EvaluationFolder,
  { protocol, device, command, inputs, others, output }: BegunEvaluation,
): Promise<EvaluationFolder> {
  const { folder, stored } = where;
  if (!folder) return where;
  const options = givenOptions(command);
  const { encoder, test, train } = inputs;
  const images = train ?? test;
  const fingerprint = { images: images.digest, test: test.digest, weights: encoder.digest, others };
  if (stored) {
    const isOverride = command.getOptionValue("override") === true;
    checkSameData(stored, images.images, fingerprint, { isOverride, output });
    return where;
  }
  await removeOldRun(folder);
  await writeStoredRun(folder, "evaluate", device, {
    ...{ images: images.path, imageCount: images.images, fingerprint },
    settings: { protocol, options },
  });
  return { ...where, stored: await readStoredRun(folder, "evaluate") };
}

/** What an evaluation says about itself. */
export interface BegunEvaluation {
  readonly protocol: string;
  readonly device: Device;
  readonly command: Command;
  readonly inputs: ReceiptInputs;
  /** Digests of what else it reads, by what that is called. */
  readonly others: Readonly<Record<string, string>>;
  readonly output: Output;
}

/** The folder of the second encoder of a comparison, inside that of the first. @param overriding - as of `readStoredRun` */
export async function comparedFolder(
  { folder, stored, hasPage }: EvaluationFolder,
  overriding: Overriding,
): Promise<EvaluationFolder> {
  if (!folder) return nowhere;
  const inside = folder.part(comparedPart);
  const isBegun = stored !== undefined && (await inside.readText(configFile)) !== undefined;
  const begun = isBegun ? await readStoredRun(inside, "evaluate", overriding) : undefined;
  return { ...nowhere, hasPage, folder: inside, stored: begun };
}
