import type { Classifier } from "../../../models/index.ts";
import { asImageSource, type ImageInput } from "../../data/sources/image_input.ts";
import { EvaluationError } from "../core/errors.ts";
import type { FeatureReadOptions } from "../features/stream_features.ts";
import { streamLogits } from "./class_logits.ts";

export interface ClassifierPredictionOptions extends FeatureReadOptions {
  /**
   * Places of the classes that may be chosen, such as the 200 of ImageNet-A among 1000; default: all. The logits of the others do not
   * count.
   */
  readonly among?: readonly number[];
}

/** What a classifier says of images. */
export interface ClassifierPredictions {
  /** Place of each row in the source; broken images are left out. */
  readonly indices: Uint32Array;
  /** Class that the source states, -1 for none. */
  readonly labels: Int32Array;
  /** Class of the largest logit, the first of equals. */
  readonly predicted: Int32Array;
}

/**
 * The class that a classifier gives to each image, in the order of the source.
 *
 * @throws EvaluationError if a listed class is not one of the classifier's or stands there twice, or logits are not finite;
 *   TooManyBrokenImagesError above `maxBad`
 */
export async function classifierPredictions(
  model: Classifier,
  images: ImageInput,
  options: ClassifierPredictionOptions = {},
): Promise<ClassifierPredictions> {
  const classes = model.description.classNames.length;
  const { among = Array.from({ length: classes }, (_, place) => place), ...reading } = options;
  checkAmong(among, classes);
  const source = await asImageSource(images);
  const indices: number[] = [];
  const labels: number[] = [];
  const predicted: number[] = [];
  for await (const batch of streamLogits(model, source, reading)) {
    for (const [row, index] of batch.indices.entries()) {
      const own = batch.logits.subarray(row * classes, (row + 1) * classes);
      indices.push(index);
      labels.push(batch.labels[row] ?? -1);
      predicted.push(among.reduce((best, place) => ((own[place] ?? 0) > (own[best] ?? 0) ? place : best)));
    }
  }
  return {
    indices: Uint32Array.from(indices),
    labels: Int32Array.from(labels),
    predicted: Int32Array.from(predicted),
  };
}

function checkAmong(among: readonly number[], classes: number): void {
  if (among.length === 0) throw new EvaluationError("classify: the list of classes is empty; give at least one");
  const seen = new Set<number>();
  for (const place of among) {
    if (!Number.isInteger(place) || place < 0 || place >= classes || seen.has(place))
      throw new EvaluationError(
        `classify: class ${place} is ${seen.has(place) ? "listed twice" : "not one of the classifier's"}; give each of 0 … ${classes - 1} at most once`,
      );
    seen.add(place);
  }
}
