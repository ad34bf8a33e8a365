import { EvaluationError } from "./errors.ts";

/** What a classifier says of test images. */
export interface TestPredictions {
  /** Place of each image in the test set. */
  readonly indices: Uint32Array;
  /** True classes. */
  readonly labels: ArrayLike<number>;
  /** Predicted classes, -1 for none. */
  readonly predicted: ArrayLike<number>;
  /** Probability that the classifier gives what it predicts; absent where it gives none. */
  readonly probabilities?: Float32Array;
  /** Where images were also tested in other forms, such as corrupted: the share of its forms that was classified rightly, 0 … 1. */
  readonly rightForms?: Float64Array;
  /** Names by class. */
  readonly classNames: readonly string[];
}

/** A share with the standard error of its mean over images. */
export interface MeasuredShare {
  readonly value: number;
  /** √(p (1 - p) / n), or of paired differences their deviation / √n. */
  readonly standardError: number;
  readonly images: number;
}

/** Top-1 accuracy over all images. @throws EvaluationError for none, or lists of different lengths */
export function accuracyOf({ labels, predicted }: Pick<TestPredictions, "labels" | "predicted">): MeasuredShare {
  const images = labels.length;
  if (images === 0 || predicted.length !== images)
    throw new EvaluationError(
      `accuracy: ${predicted.length} predictions for ${images} labels; give one each, and at least one`,
    );
  const value = hits({ labels, predicted }).reduce((sum, hit) => sum + hit, 0) / images;
  return { value, standardError: Math.sqrt((value * (1 - value)) / images), images };
}

/** Mean of a share that was measured on every image. @throws EvaluationError for none */
export function meanShare(shares: ArrayLike<number>): MeasuredShare {
  const images = shares.length;
  if (images === 0) throw new EvaluationError("accuracy: there are no images; give one at least");
  const values = Array.from(shares);
  const value = values.reduce((sum, share) => sum + share, 0) / images;
  const squares = values.reduce((sum, share) => sum + (share - value) ** 2, 0);
  return { value, standardError: images > 1 ? Math.sqrt(squares / (images - 1) / images) : Number.NaN, images };
}

/**
 * How much more accurate `after` is than `before` on the same images. Its standard error is that of paired differences: what is hard
 * for both does not count as chance.
 *
 * @throws EvaluationError if they are not about the same images
 */
export function pairedDifference(before: TestPredictions, after: TestPredictions): MeasuredShare {
  const images = before.labels.length;
  if (images !== after.labels.length || before.indices.some((index, i) => index !== after.indices[i]))
    throw new EvaluationError(
      "comparison: the two evaluations are of different test images; use the same ones for both",
    );
  return pairedShares(hits(before), hits(after));
}

/**
 * Of every image the share of runs (draws, seeds) that are right, so that evaluations of several runs can be compared image by image.
 *
 * @param runs - predicted classes, -1 for an image that a run has not tested
 * @returns NaN for an image that no run has tested
 */
export function rightShares(labels: ArrayLike<number>, runs: readonly ArrayLike<number>[]): Float64Array {
  return Float64Array.from({ length: labels.length }, (_, image) => {
    const tested = runs.filter((run) => (run[image] ?? -1) >= 0);
    return tested.filter((run) => run[image] === labels[image]).length / tested.length;
  });
}

/**
 * How much larger the shares of `after` are than those of `before`, in the mean over the images that both have, with the standard error
 * of the paired differences.
 *
 * @param before - as {@link rightShares} gives them, or 0 and 1
 * @throws EvaluationError for lists of other lengths, or no image that both have
 */
export function pairedShares(before: ArrayLike<number>, after: ArrayLike<number>): MeasuredShare {
  const all = Array.from({ length: before.length }, (_, i) => (after[i] ?? Number.NaN) - (before[i] ?? Number.NaN));
  const differences = all.filter((difference) => !Number.isNaN(difference));
  if (before.length !== after.length || differences.length === 0)
    throw new EvaluationError(
      "comparison: the two evaluations are of different test images; use the same ones for both",
    );
  return meanShare(differences);
}

/** Classes of a table that people or programs can still do something with: its cells are their square. */
const mostConfused = 2 ** 13;

/**
 * How often each true class (row) was predicted as each class (column), `[classes, classes]`; what has no prediction is in none.
 *
 * @throws EvaluationError for more than 8192 classes
 */
export function confusionTable({ labels, predicted, classNames }: TestPredictions): number[][] {
  if (classNames.length > mostConfused)
    throw new EvaluationError(
      `confusion: a table of ${classNames.length} × ${classNames.length} classes is too large, at most ${mostConfused} are counted; take the predictions of the images instead (--predictions)`,
    );
  const table = classNames.map(() => new Array<number>(classNames.length).fill(0));
  for (let i = 0; i < labels.length; i++) {
    const row = table[labels[i] ?? -1];
    const column = predicted[i] ?? -1;
    if (row && column >= 0) row[column] = (row[column] ?? 0) + 1;
  }
  return table;
}

/** Of every image 1 where it was classified rightly, else 0 (also without a prediction): what an accuracy is the mean of. */
export function hits({ labels, predicted }: Pick<TestPredictions, "labels" | "predicted">): Float64Array {
  return Float64Array.from({ length: labels.length }, (_, i) => (predicted[i] === labels[i] ? 1 : 0));
}
