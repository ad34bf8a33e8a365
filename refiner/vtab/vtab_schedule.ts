import { OptionError } from "../../engine/index.ts";
import type { VisionTransformer } from "../../models/index.ts";
import { DataFormatError, type ImageSource } from "../data/index.ts";
import { EvaluationError, matchChannels } from "../evaluation/index.ts";
import { squashedImages } from "./squashed_images.ts";
import type { VtabConfig } from "./vtab_config.ts";
import type { VtabRunName } from "./vtab_results.ts";
import { type VtabTask, vtabLists, vtabTask } from "./vtab_tasks.ts";

/** Room in bytes for squashed training images of a task, so that they are decoded once for all of its runs: 1000 of 384 pixels. */
const keptBytes = 2 ** 29;

/** A task whose images have the size that the model sees. */
export interface PreparedTask extends VtabTask {
  /** Of the head: the highest label of the training lists is the last class. */
  readonly classes: number;
}

/**
 * Squashes the images of a task, and counts its classes.
 *
 * @throws OptionError for a task that is not known; DataFormatError for an image without a label, or a test image whose label is beyond
 *   those of the training lists
 */
export function preparedTask(
  task: VtabTask,
  { sidePixels, channels }: { readonly sidePixels: number; readonly channels: 1 | 3 },
): PreparedTask {
  vtabTask(task.name);
  const classes = classesOfTask(task);
  const beyond = labelsOf(task, "test").findIndex((label) => label >= classes);
  if (beyond >= 0)
    throw new DataFormatError(
      `vtab: ${task.test.name(beyond)} in test of ${task.name} has the label ${task.test.label(beyond)}, but the training lists end at ${classes - 1}; correct the label, or the lists`,
    );
  const classNames = Array.from({ length: classes }, (_, label) => String(label));
  const squashed = (source: ImageSource, kept = 0): ImageSource => ({
    ...squashedImages(matchChannels(source, channels), sidePixels, kept),
    classNames,
  });
  return {
    name: task.name,
    classes,
    train800: squashed(task.train800, 0.4 * keptBytes),
    val200: squashed(task.val200, 0.1 * keptBytes),
    train800val200: squashed(task.train800val200, 0.5 * keptBytes),
    test: squashed(task.test),
  };
}

/** Classes of the head of a task's runs. @throws DataFormatError for an image without a label */
export function classesOfTask(task: VtabTask): number {
  const training = vtabLists.filter((list) => list !== "test");
  const highest = (labels: Int32Array): number => labels.reduce((most, label) => Math.max(most, label), -1);
  return 1 + Math.max(...training.map((list) => highest(labelsOf(task, list))));
}

/**
 * Side of the square images that an encoder is shown.
 *
 * @param imagePixels - undefined for its own
 * @throws OptionError for an encoder whose images are neither grey nor colour, or a side that is no whole patches
 */
export function sideOf({ config }: VisionTransformer, imagePixels: number | undefined): number {
  const side = imagePixels ?? config.heightPixels;
  if (config.channels !== 1 && config.channels !== 3)
    throw new OptionError(`vtab: the encoder takes ${config.channels} channels; images have 1 or 3`);
  if (side % config.patchPixels !== 0)
    throw new OptionError(
      `vtab: images of ${side} pixels are no whole patches of ${config.patchPixels}; give a multiple of it`,
    );
  if (config.classTokens === 0)
    throw new OptionError("vtab: the encoder has no class token, which the head reads; choose another encoder");
  return side;
}

/** Label of every image of a list. @throws DataFormatError for an image without one */
export function labelsOf(task: VtabTask, list: (typeof vtabLists)[number]): Int32Array {
  const source = task[list];
  return Int32Array.from({ length: source.length }, (_, i) => {
    const label = source.label(i);
    if (label !== undefined) return label;
    throw new DataFormatError(`vtab: ${source.name(i)} in ${list} of ${task.name} has no label; give every image one`);
  });
}

/** The runs that search a task's rate: none where there is only one. */
export function searchRuns(task: string, { learningRates, seeds, seed }: VtabConfig): VtabRunName[] {
  if (learningRates.length === 1) return [];
  return learningRates.flatMap((rate) =>
    Array.from({ length: seeds }, (_, i): VtabRunName => ({ task, stage: "search", rate, seed: seed + i })),
  );
}

/** The runs that are tested on the test images. */
export function finalRuns(task: string, { seeds, seed }: VtabConfig, rate: number): VtabRunName[] {
  return Array.from({ length: seeds }, (_, i): VtabRunName => ({ task, stage: "final", rate, seed: seed + i }));
}

/** The lists of a run. */
export function imagesOfRun(
  task: VtabTask,
  stage: VtabRunName["stage"],
): { readonly train: ImageSource; readonly test: ImageSource } {
  return stage === "search"
    ? { train: task.train800, test: task.val200 }
    : { train: task.train800val200, test: task.test };
}

/** Size of a run. */
export interface VtabRunSize {
  readonly updates: number;
  readonly testedImages: number;
}

/** @throws EvaluationError for a training list of less than a batch */
export function sizeOfRun(
  task: VtabTask,
  { batch, epochs }: VtabConfig,
  { stage }: Pick<VtabRunName, "stage">,
): VtabRunSize {
  const { train, test } = imagesOfRun(task, stage);
  const updates = epochs * Math.floor(train.length / batch);
  if (updates > 0) return { updates, testedImages: test.length };
  throw new EvaluationError(
    `vtab: ${stage === "search" ? "train800" : "train800val200"} of ${task.name} has ${train.length} images, less than one batch of ${batch}; use a batch of at most ${train.length} (--batch, --preset small)`,
  );
}
