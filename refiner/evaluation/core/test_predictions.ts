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
  const [first, second] = [hits(before), hits(after)];
  const differences = first.map((hit, i) => (second[i] ?? 0) - hit);
  const value = differences.reduce((sum, difference) => sum + difference, 0) / images;
  const squares = differences.reduce((sum, difference) => sum + (difference - value) ** 2, 0);
  return { value, standardError: images > 1 ? Math.sqrt(squares / (images - 1) / images) : Number.NaN, images };
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

function hits({ labels, predicted }: Pick<TestPredictions, "labels" | "predicted">): number[] {
  return Array.from({ length: labels.length }, (_, i) => (predicted[i] === labels[i] ? 1 : 0));
}
