import type { Device } from "../../../engine/index.ts";
import { EvaluationError } from "../core/errors.ts";
import { checkLabels, checkMatrix, classCount, type FeatureMatrix } from "../core/feature_matrix.ts";
import { accuracy } from "../neighbours/knn.ts";
import type { LabelledFeatures } from "../neighbours/knn_device.ts";
import { unitRows } from "../statistics/standardise.ts";
import { centredRows, centredUnitRows, meanLengthRows } from "./centred_unit_rows.ts";
import {
  fitLogisticRegression,
  type LogisticRegression,
  type LogisticRegressionOptions,
} from "./fit_logistic_regression.ts";
import { linearPredictions } from "./linear_predictions.ts";

/** λ times the number of training images, in MIM-Refiner's low-shot script (as in MSN, arXiv 2204.07141). */
export const lowShotPenalty = 0.00025;

export interface LowShotOptions
  extends Pick<LogisticRegressionOptions, "maxIterations" | "tolerance" | "signal" | "onEvaluation"> {
  /** λ times the number of training images; default 0.00025. */
  readonly penalty?: number;
  /** Whether each vector's own mean is taken off before it is scaled to length 1, as published; default true. */
  readonly centre?: boolean;
  /** Whether each vector is scaled to length 1, as published; default true. Without, the training vectors have length 1 in the mean. */
  readonly unitLength?: boolean;
}

export interface LowShotResult {
  /** Share of the labelled test rows that are right, 0 … 1; those of a class without training images are wrong. */
  readonly accuracy: number;
  /** Class of each test row. */
  readonly predicted: Int32Array;
  /** Training rows with a label. */
  readonly trainingRows: number;
  /** Classes of training rows; row k of the regression's weight is that of `classes[k]`. */
  readonly classes: readonly number[];
  /** Classes that only test rows have. */
  readonly withoutTraining: readonly number[];
  /** On {@link centredUnitRows}, or without centring on `unitRows`, or where lengths are kept on {@link meanLengthRows} of either. */
  readonly regression: LogisticRegression;
}

/**
 * Low-shot classification: logistic regression without intercept on few labelled features, to the exact minimum, each feature vector
 * minus its own mean at unit length (MIM-Refiner, arXiv 2402.10093, section 5; features there are the class token of the last block's
 * raw output). Rows labelled -1 take no part.
 *
 * @throws EvaluationError for fewer than two classes in training, test rows without labels, features that are not finite or of two widths
 */
export async function lowShot(
  device: Device,
  train: LabelledFeatures,
  test: LabelledFeatures,
  options: LowShotOptions = {},
): Promise<LowShotResult> {
  const { penalty = lowShotPenalty, centre = true, unitLength = true, ...rest } = options;
  const unit = centre ? centredUnitRows : unitRows;
  const prepared = (x: FeatureMatrix): FeatureMatrix =>
    unitLength ? unit(x) : meanLengthRows(centre ? centredRows(x) : x);
  if (!(penalty > 0))
    throw new EvaluationError(`low-shot: the penalty is ${penalty}; give one above 0, such as 0.00025`);
  const { features, labels } = labelledRows(train, "training");
  checkMatrix("low-shot", test.features, "test features");
  if (classCount(test.labels) === 0)
    throw new EvaluationError(
      "low-shot: no test image has a label; use a folder with one subfolder per class, or a list with labels",
    );
  const classes = occurring(labels);
  if (classes.length < 2) {
    throw new EvaluationError(
      `low-shot: all ${features.rows} training images are of class ${classes[0]}; give images of at least two classes`,
    );
  }
  const places = new Map(classes.map((label, place) => [label, place]));
  const regression = await fitLogisticRegression(
    device,
    prepared(features),
    Int32Array.from(labels, (label) => places.get(label) ?? 0),
    { ...rest, l2: penalty / features.rows, bias: "none", classes: classes.length },
  );
  const found = await linearPredictions(device, regression, prepared(test.features));
  const predicted = found.map((place) => classes[place] ?? -1);
  return {
    accuracy: accuracy(predicted, test.labels),
    predicted,
    trainingRows: features.rows,
    classes,
    withoutTraining: occurring(test.labels).filter((label) => !places.has(label)),
    regression,
  };
}

/** Training rows of one draw, or of one file list. */
export interface LowShotSubset {
  /** Images per class; the runs of equal shots are averaged. */
  readonly shots: number;
  /** Names the draw: the seed, or the list. */
  readonly split: string;
  /** Rows of the training features. */
  readonly rows: ArrayLike<number>;
}

export interface LowShotRun extends LowShotResult, Pick<LowShotSubset, "shots" | "split"> {}

/** Accuracy over the splits of one number of shots. */
export interface LowShotSummary {
  readonly shots: number;
  readonly splits: number;
  readonly mean: number;
  /** Standard deviation over the splits, unbiased; 0 for a single one. */
  readonly deviation: number;
}

/**
 * Low-shot classification on several subsets of the same training features, and its mean per number of shots.
 *
 * @param onRun - after each of them
 * @throws EvaluationError as {@link lowShot}, or for a row that the training features do not have
 */
export async function lowShotOfSubsets(
  device: Device,
  train: LabelledFeatures,
  test: LabelledFeatures,
  subsets: readonly LowShotSubset[],
  options: LowShotOptions & { readonly onRun?: (run: LowShotRun) => void } = {},
): Promise<{ readonly runs: readonly LowShotRun[]; readonly summary: readonly LowShotSummary[] }> {
  const { onRun, ...rest } = options;
  const runs: LowShotRun[] = [];
  for (const { shots, split, rows } of subsets) {
    const run = { shots, split, ...(await lowShot(device, rowsOf(train, rows), test, rest)) };
    runs.push(run);
    onRun?.(run);
  }
  return { runs, summary: lowShotSummary(runs) };
}

/** Mean and spread per number of shots, in the order in which they occur. */
export function lowShotSummary(runs: readonly Pick<LowShotRun, "shots" | "accuracy">[]): LowShotSummary[] {
  return [...new Set(runs.map(({ shots }) => shots))].map((shots) => {
    const values = runs.filter((run) => run.shots === shots).map((run) => run.accuracy);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    return { shots, splits: values.length, mean, deviation: Math.sqrt(squares / Math.max(values.length - 1, 1)) };
  });
}

function rowsOf({ features, labels }: LabelledFeatures, rows: ArrayLike<number>): LabelledFeatures {
  const { columns } = features;
  const data = new Float32Array(rows.length * columns);
  const chosen = new Int32Array(rows.length);
  for (let place = 0; place < rows.length; place++) {
    const row = rows[place] ?? -1;
    if (!Number.isInteger(row) || row < 0 || row >= features.rows) {
      throw new EvaluationError(
        `low-shot: row ${row} of a subset is not one of the ${features.rows} training images; give 0 … ${features.rows - 1}`,
      );
    }
    data.set(features.data.subarray(row * columns, (row + 1) * columns), place * columns);
    chosen[place] = labels[row] ?? -1;
  }
  return { features: { rows: rows.length, columns, data }, labels: chosen };
}

function labelledRows(side: LabelledFeatures, name: string): { features: FeatureMatrix; labels: Int32Array } {
  checkMatrix("low-shot", side.features, `${name} features`);
  const kept = Array.from({ length: side.features.rows }, (_, row) => row).filter(
    (row) => (side.labels[row] ?? -1) >= 0,
  );
  if (kept.length === 0)
    throw new EvaluationError(
      `low-shot: no ${name} image has a label; use a folder with one subfolder per class, or a list with labels`,
    );
  const { features, labels } = rowsOf(side, kept);
  checkLabels("low-shot", labels, features.rows);
  return { features, labels: Int32Array.from(labels) };
}

function occurring(labels: ArrayLike<number>): number[] {
  return [...new Set(Array.from(labels))].filter((label) => label >= 0).sort((a, b) => a - b);
}
