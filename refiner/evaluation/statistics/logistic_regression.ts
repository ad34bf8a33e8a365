import { EvaluationError } from "../core/errors.ts";
import { checkLabels, checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";

/** A linear classifier: `logits = weight x + bias`. */
export interface LinearClassifier {
  /** `[classes, columns]` */
  readonly weight: FeatureMatrix;
  /** `[classes]` */
  readonly bias: Float64Array;
}

/** Sizes and penalty of multinomial logistic regression. */
export interface LogisticProblem {
  readonly classes: number;
  readonly columns: number;
  /** λ of the penalty λ/2 · ‖W‖², relative to the mean cross entropy. */
  readonly l2: number;
  /** An unpenalised bias per class, or none. */
  readonly bias: "unpenalised" | "none";
}

/**
 * Mean cross entropy plus λ/2 · ‖W‖² in float64.
 *
 * @param parameters - weights `[classes, columns]`, then the bias `[classes]`
 * @param gradient - written; zero for the bias where there is none
 */
export function logisticObjective(
  parameters: Float64Array,
  x: FeatureMatrix,
  labels: ArrayLike<number>,
  { classes, columns, l2, bias }: LogisticProblem,
  gradient: Float64Array,
): number {
  gradient.fill(0);
  const model = classifierOf(parameters, classes, columns);
  const penalty = addPenalty(model.weight.data, l2, gradient);
  const weights = classes * columns;
  const parts = {
    weight: gradient.subarray(0, weights),
    bias: bias === "none" ? undefined : gradient.subarray(weights),
  };
  return addCrossEntropy(model, x, labels, parts, penalty);
}

/** Adds the gradient of the penalty. @returns λ/2 · ‖W‖² */
export function addPenalty(weight: ArrayLike<number>, l2: number, gradient: Float64Array): number {
  let loss = 0;
  for (let at = 0; at < weight.length; at++) {
    const value = weight[at] ?? 0;
    loss += (l2 / 2) * value * value;
    gradient[at] = (gradient[at] ?? 0) + l2 * value;
  }
  return loss;
}

/** A gradient's parts; without a bias there is none of that. */
interface Gradient {
  readonly weight: Float64Array;
  readonly bias: Float64Array | undefined;
}

/** Adds the mean cross entropy to `loss`, and its gradient. */
function addCrossEntropy(
  model: LinearClassifier,
  x: FeatureMatrix,
  labels: ArrayLike<number>,
  gradient: Gradient,
  loss: number,
): number {
  const classes = model.weight.rows;
  const logits = new Float64Array(classes);
  let sum = loss;
  for (let row = 0; row < x.rows; row++) {
    rowLogits(model, x, row, logits);
    const label = labels[row] ?? 0;
    const logSum = logSumExp(logits);
    sum += (logSum - (logits[label] ?? 0)) / x.rows;
    for (let k = 0; k < classes; k++) {
      const dLogit = (Math.exp((logits[k] ?? 0) - logSum) - (k === label ? 1 : 0)) / x.rows;
      addRow(gradient, k, dLogit, x, row);
    }
  }
  return sum;
}

/** Adds the gradient with respect to one class's weights and bias. */
function addRow({ weight, bias }: Gradient, k: number, dLogit: number, x: FeatureMatrix, row: number): void {
  const { columns } = x;
  for (let column = 0; column < columns; column++) {
    const at = k * columns + column;
    weight[at] = (weight[at] ?? 0) + dLogit * (x.data[row * columns + column] ?? 0);
  }
  if (bias) bias[k] = (bias[k] ?? 0) + dLogit;
}

/** Natural logarithms of the class probabilities, `[rows, classes]`. */
export function logProbabilities(model: LinearClassifier, x: FeatureMatrix): FeatureMatrix {
  checkMatrix("logProbabilities", x);
  if (x.columns !== model.weight.columns) {
    throw new EvaluationError(
      `logProbabilities: features of width ${x.columns}, the model was fitted on ${model.weight.columns}; take both from the same block`,
    );
  }
  const classes = model.weight.rows;
  const data = new Float64Array(x.rows * classes);
  for (let row = 0; row < x.rows; row++) {
    const logits = data.subarray(row * classes, (row + 1) * classes);
    rowLogits(model, x, row, logits);
    const logSum = logSumExp(logits);
    for (let k = 0; k < classes; k++) logits[k] = (logits[k] ?? 0) - logSum;
  }
  return { rows: x.rows, columns: classes, data };
}

/** The most probable class of each row; the smaller of equals. @throws EvaluationError for NaN */
export function mostProbable(logs: FeatureMatrix): Int32Array {
  checkLogs("mostProbable", logs);
  const { rows, columns, data } = logs;
  return Int32Array.from({ length: rows }, (_, row) => {
    let best = 0;
    for (let k = 1; k < columns; k++) {
      if ((data[row * columns + k] ?? 0) > (data[row * columns + best] ?? 0)) best = k;
    }
    return best;
  });
}

/** A probability may be 0, and its logarithm -∞, but not NaN. */
function checkLogs(operation: string, { data, columns }: FeatureMatrix): void {
  const at = data.findIndex((value) => Number.isNaN(value));
  if (at >= 0)
    throw new EvaluationError(
      `${operation}: row ${Math.floor(at / columns)} of the log-probabilities holds NaN; the model that made it has diverged`,
    );
}

/**
 * Mean negative log-likelihood of the labels in nats: the cross entropy of a model whose log-probabilities are given; ∞ where one
 * of them is -∞.
 *
 * @throws EvaluationError if labels do not fit, or for NaN
 */
export function negativeLogLikelihood(logs: FeatureMatrix, labels: ArrayLike<number>): number {
  checkLabels("negativeLogLikelihood", labels, logs.rows);
  checkLogs("negativeLogLikelihood", logs);
  let sum = 0;
  for (let row = 0; row < logs.rows; row++) sum -= logs.data[row * logs.columns + (labels[row] ?? 0)] ?? 0;
  return sum / logs.rows;
}

/** The classifier that a vector of parameters stands for: weights, row by row, then the bias. */
export function classifierOf(parameters: Float64Array, classes: number, columns: number): LinearClassifier {
  const weights = classes * columns;
  return {
    weight: { rows: classes, columns, data: parameters.subarray(0, weights) },
    bias: parameters.subarray(weights),
  };
}

function rowLogits({ weight, bias }: LinearClassifier, x: FeatureMatrix, row: number, logits: Float64Array): void {
  for (let k = 0; k < weight.rows; k++) {
    let sum = bias[k] ?? 0;
    for (let column = 0; column < x.columns; column++) {
      sum += (weight.data[k * x.columns + column] ?? 0) * (x.data[row * x.columns + column] ?? 0);
    }
    logits[k] = sum;
  }
}

function logSumExp(logits: Float64Array): number {
  const most = logits.reduce((best, value) => Math.max(best, value));
  return most + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - most), 0));
}
