import { resolve } from "node:path";
import { type Command, Option } from "commander";
import {
  defaultSegmentationPreset,
  type SegmentationConfig,
  segmentationPreset,
  segmentationPresets,
  segmentationSchema,
} from "../../../refiner/evaluation/index.ts";
import { parseConfig } from "../../../refiner/methods/setting_errors.ts";
import { wholeNumber } from "../../program/parsers.ts";
import { addSettings, checkedSettings, givenSettings } from "../../program/settings.ts";
import { sharedOption } from "../../program/shared_options.ts";
import type { TouchedPaths } from "../../program/touched_paths.ts";
import { UsageError } from "../../program/usage_error.ts";
import type { UsedPreset } from "../evaluation_line.ts";
import type { ProtocolOptions } from "../protocol.ts";

export interface SegmentOptions extends ProtocolOptions {
  readonly masks?: string;
  readonly testMasks?: string;
  readonly classes?: number;
  readonly labelOffset: number;
  readonly ignoreIndex: number;
  readonly predictedMasks?: string;
  readonly overlays?: string;
  readonly perClass?: string;
  readonly preset?: string;
  readonly config?: string;
}

/** Settings with an option of their own; the others are options of every protocol. */
const ownSettings = segmentationSchema.omit({ maxBad: true });
const presetNames = segmentationPresets.join(", ");

export function addSegmentOptions(command: Command): void {
  command
    .option("--masks <folder>", "PNG masks named as the images; palette indices or grey values are the labels")
    .option("--test-masks <folder>", "masks of --test")
    .addOption(
      new Option("--classes <number>", "classes (default: the largest label of the training masks plus one)").argParser(
        wholeNumber(2, 4096),
      ),
    )
    .addOption(
      new Option("--label-offset <number>", "added to stored numbers; what falls below 0 is ignored")
        .argParser(offsetNumber)
        .default(0),
    )
    .addOption(
      new Option("--ignore-index <number>", "stored number that is ignored")
        .argParser(wholeNumber(0, 65535))
        .default(255),
    )
    .option("--predicted-masks <folder>", "write what is predicted for every test image as a PNG mask")
    .option("--overlays <folder>", "write every test image with the predicted classes as colours over it")
    .option("--per-class <file>", "write the intersection over union of every class, to a .csv file")
    .addOption(
      sharedOption("preset", { more: `${presetNames} (default: paper from 160 training images on, else small)` }),
    );
  addSettings(command, ownSettings);
}

function offsetNumber(text: string): number {
  const value = Number(text);
  if (!/^[+-]?\d+$/.test(text) || Math.abs(value) > 65535)
    throw new UsageError(`--label-offset ${text}: give a whole number, such as -1`);
  return value;
}

/** What is read and written beside images and weights. */
export function segmentTouches({ masks, testMasks, perClass }: SegmentOptions): Pick<TouchedPaths, "reads" | "writes"> {
  return { reads: { "--masks": masks, "--test-masks": testMasks }, writes: { "--per-class": perClass } };
}

/** Names wrong options before anything is opened. @throws UsageError */
export async function checkSegmentOptions(options: SegmentOptions, command: Command): Promise<void> {
  const { masks, testMasks, test, predictedMasks, overlays, perClass, images } = options;
  if (masks === undefined)
    throw new UsageError("evaluate segment: --masks is needed, the folder with the masks of --images");
  if ((test === undefined) !== (testMasks === undefined))
    throw new UsageError("evaluate segment: --test and --test-masks belong together; give both or neither");
  if (options.predictions !== undefined || options.confusion !== undefined)
    throw new UsageError(
      "evaluate segment: --predictions and --confusion are of whole images; use --predicted-masks, --overlays and --per-class",
    );
  if (perClass !== undefined && !/\.csv$/i.test(perClass))
    throw new UsageError(`evaluate segment: ${perClass} does not end with .csv; choose such a name for --per-class`);
  const taken = new Map<string, string>();
  for (const [name, path] of Object.entries({
    "--images": images,
    "--test": test,
    "--masks": masks,
    "--test-masks": testMasks,
  }))
    if (path !== undefined) taken.set(resolve(path), name);
  for (const [name, path] of Object.entries({ "--predicted-masks": predictedMasks, "--overlays": overlays })) {
    if (path === undefined) continue;
    const other = taken.get(resolve(path));
    if (other !== undefined)
      throw new UsageError(
        `evaluate segment: ${path} would be written for ${name}, and is ${other}; choose another folder`,
      );
    taken.set(resolve(path), name);
  }
  await segmentConfig(options, command, 1024);
}

/** Whether files that exist may be replaced. */
export function isReplacing({ force, resume }: Pick<SegmentOptions, "force" | "resume">): boolean {
  return force || (resume !== undefined && resume !== false);
}

/** Settings of the preset, those of the file, and the options, in that order. */
export async function segmentConfig(
  options: SegmentOptions,
  command: Command,
  trainImages: number,
): Promise<{ readonly preset: UsedPreset; readonly config: SegmentationConfig }> {
  const given = await givenSettings(command, ownSettings, options.config);
  const preset = segmentationPresets.find((name) => name === options.preset);
  if (options.preset !== undefined && preset === undefined)
    throw new UsageError(`evaluate segment: there is no preset ${options.preset}; choose from ${presetNames}`);
  const used = preset ?? defaultSegmentationPreset(trainImages);
  const sets = segmentationPreset(used, trainImages);
  const settings = {
    ...sets,
    ...given.values,
    seed: options.seed,
    maxBad: options.maxBad,
  };
  return {
    preset: { name: used, sets },
    config: checkedSettings(() => parseConfig(segmentationSchema, settings, "evaluate segment"), given),
  };
}
