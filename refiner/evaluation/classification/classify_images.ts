import type { Classifier } from "../../../models/index.ts";
import { asImageSource, type ImageInput } from "../../data/sources/image_input.ts";
import { EvaluationError } from "../core/errors.ts";
import type { FeatureReadOptions } from "../features/stream_features.ts";
import { streamLogits } from "./class_logits.ts";

/** A class, and how probable the classifier finds it. */
export interface ClassScore {
  /** Its place among the classifier's classes. */
  readonly label: number;
  readonly className: string;
  /** Soft-max of the logits, 0 … 1. */
  readonly probability: number;
}

/** What a classifier says of one image. */
export interface ClassPrediction {
  /** Place of the image in the source. */
  readonly index: number;
  /** Path of the image, or its place in an archive. */
  readonly name: string;
  /** The class that the source states; -1 for none. */
  readonly label: number;
  /** The most probable classes, best first. */
  readonly best: readonly ClassScore[];
}

export interface ClassifyOptions extends FeatureReadOptions {
  /** How many classes of each image; all, where there are fewer. Default 5. */
  readonly top?: number;
}

/**
 * The most probable classes of every image, in the order of the source, as they become ready; broken images are left out.
 *
 * @throws EvaluationError for an image whose logits are not finite; TooManyBrokenImagesError above `maxBad`
 */
export async function* classifyImages(
  model: Classifier,
  images: ImageInput,
  options: ClassifyOptions = {},
): AsyncGenerator<ClassPrediction, void, void> {
  const { top = 5, ...reading } = options;
  if (!Number.isInteger(top) || top < 1)
    throw new EvaluationError(`classify: top is ${top}; give a whole number of classes, 1 or more`);
  const source = await asImageSource(images);
  const { classNames } = model.description;
  for await (const { logits, indices, labels } of streamLogits(model, source, reading)) {
    for (const [row, index] of indices.entries()) {
      const own = logits.subarray(row * classNames.length, (row + 1) * classNames.length);
      yield { index, name: source.name(index), label: labels[row] ?? -1, best: bestClasses(own, classNames, top) };
    }
  }
}

/**
 * Top-1 accuracy of a classifier: the share of the labelled images whose largest logit is that of their class.
 *
 * @throws EvaluationError if no image has a label, and as {@link classifyImages}
 */
export async function classifierAccuracy(
  model: Classifier,
  images: ImageInput,
  options: FeatureReadOptions = {},
): Promise<{ readonly accuracy: number; readonly images: number }> {
  const source = await asImageSource(images);
  const classes = model.description.classNames.length;
  let hits = 0;
  let count = 0;
  for await (const { logits, labels } of streamLogits(model, source, options)) {
    for (const [row, label] of labels.entries()) {
      if (label < 0) continue;
      count++;
      if (largest(logits.subarray(row * classes, (row + 1) * classes)) === label) hits++;
    }
  }
  if (count === 0)
    throw new EvaluationError(
      "accuracy: no test image has a label of the classifier's classes; name classes alike in training and test images",
    );
  return { accuracy: hits / count, images: count };
}

function bestClasses(logits: Float32Array, classNames: readonly string[], top: number): ClassScore[] {
  const most = logits[largest(logits)] ?? 0;
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return [...powers.keys()]
    .sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b)
    .slice(0, top)
    .map((label) => ({ label, className: classNames[label] ?? "", probability: (powers[label] ?? 0) / sum }));
}

/** The first of the largest. */
function largest(values: Float32Array): number {
  return values.reduce((best, value, i) => (value > (values[best] ?? 0) ? i : best), 0);
}
