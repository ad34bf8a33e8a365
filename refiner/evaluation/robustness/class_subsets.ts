import { EvaluationError } from "../core/errors.ts";
import { checkLabels, checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";
import { accuracy } from "../neighbours/knn.ts";

/** Answers of a classifier that may only choose among some of its classes. */
export interface SubsetAccuracy {
  /** Share of the labelled rows that are right, 0 … 1. */
  readonly accuracy: number;
  /** Place in the list of classes that each row is given. */
  readonly predicted: Int32Array;
}

/**
 * Accuracy over a subset of a classifier's classes: only the logits of the listed classes count, as for ImageNet-A and ImageNet-R, whose
 * images are of 200 of the 1000 classes each.
 *
 * @param logits - `[rows, all classes]`
 * @param labels - places in `classes`, -1 where there is none
 * @param classes - columns of `logits`
 * @throws EvaluationError if a class is not a column or is listed twice, a label is no place in the list, or sizes do not fit
 */
export function accuracyOnClasses(
  logits: FeatureMatrix,
  labels: ArrayLike<number>,
  classes: readonly number[],
): SubsetAccuracy {
  checkMatrix("accuracyOnClasses", logits, "logits");
  checkClasses(classes, logits.columns);
  checkLabels(
    "accuracyOnClasses",
    Array.from(labels, (label) => Math.max(label, 0)),
    logits.rows,
  );
  for (let row = 0; row < labels.length; row++) {
    if ((labels[row] ?? 0) >= classes.length) {
      throw new EvaluationError(
        `accuracyOnClasses: label ${labels[row]} of row ${row} for a list of ${classes.length} classes; give the place of the class in the list`,
      );
    }
  }
  const predicted = Int32Array.from({ length: logits.rows }, (_, row) => {
    const first = row * logits.columns;
    let best = 0;
    classes.forEach((column, place) => {
      if ((logits.data[first + column] ?? 0) > (logits.data[first + (classes[best] ?? 0)] ?? 0)) best = place;
    });
    return best;
  });
  return { accuracy: accuracy(predicted, labels), predicted };
}

function checkClasses(classes: readonly number[], columns: number): void {
  if (classes.length === 0)
    throw new EvaluationError("accuracyOnClasses: the list of classes is empty; give at least one");
  const seen = new Set<number>();
  for (const column of classes) {
    if (!Number.isInteger(column) || column < 0 || column >= columns || seen.has(column)) {
      throw new EvaluationError(
        `accuracyOnClasses: class ${column} is ${seen.has(column) ? "listed twice" : "not one of the classifier's"}; give each of 0 … ${columns - 1} at most once`,
      );
    }
    seen.add(column);
  }
}
