import { EvaluationError } from "./errors.ts";

/** Features `[rows, columns]`, row-major: one row per image (or patch). */
export interface FeatureMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array | Float64Array;
}

/**
 * @param what - what the matrix holds, for messages
 * @throws EvaluationError if the sizes are not whole numbers of at least 1 or do not fit the data, or a value is NaN or infinite
 */
export function checkMatrix(operation: string, x: FeatureMatrix, what = "features"): void {
  const { rows, columns, data } = x;
  if (
    !Number.isInteger(rows) ||
    !Number.isInteger(columns) ||
    rows < 1 ||
    columns < 1 ||
    data.length !== rows * columns
  ) {
    throw new EvaluationError(
      `${operation}: ${data.length} values are no matrix of ${rows} × ${columns}; give rows and columns that multiply to the length`,
    );
  }
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at >= 0) {
    throw new EvaluationError(
      `${operation}: row ${Math.floor(at / columns)} of the ${what} holds ${data[at]}, which is not finite; the model that made it has diverged or its file is damaged`,
    );
  }
}

/**
 * @param labels - one per row
 * @throws EvaluationError if their number is another, or one is not a whole number from 0
 */
export function checkLabels(operation: string, labels: ArrayLike<number>, rows: number): void {
  if (labels.length !== rows) {
    throw new EvaluationError(`${operation}: ${labels.length} labels for ${rows} rows; give one label per row`);
  }
  for (let row = 0; row < rows; row++) {
    const label = labels[row] ?? -1;
    if (!Number.isInteger(label) || label < 0) {
      throw new EvaluationError(
        `${operation}: label ${label} of row ${row} is not a whole number from 0; leave unlabelled rows out`,
      );
    }
  }
}

/** Tables have a place for every class: a label from here on is a number of something else. */
const mostClasses = 2 ** 24;

/** The largest label plus one. @throws EvaluationError for a label that is no number of a class */
export function classCount(labels: ArrayLike<number>): number {
  let largest = -1;
  for (let row = 0; row < labels.length; row++) largest = Math.max(largest, labels[row] ?? -1);
  if (largest >= mostClasses)
    throw new EvaluationError(
      `labels: ${largest} is no number of a class, expected 0 … ${mostClasses - 1}; number the classes from 0 on`,
    );
  return largest + 1;
}
