import type { Device } from "../../../engine/index.ts";
import { EvaluationError } from "../core/errors.ts";
import { checkLabels, checkMatrix, classCount, type FeatureMatrix } from "../core/feature_matrix.ts";
import { minimise } from "../statistics/lbfgs.ts";
import {
  classifierOf,
  type LinearClassifier,
  type LogisticProblem,
  logisticObjective,
} from "../statistics/logistic_regression.ts";
import { LogisticObjective } from "./logistic_objective.ts";

export interface LogisticRegressionOptions extends Pick<LogisticProblem, "l2" | "bias"> {
  /** Default: the largest label plus one. */
  readonly classes?: number;
  /** Default 2000. */
  readonly maxIterations?: number;
  /**
   * Largest accepted distance of the objective to its minimum, relative; default 1e-6. Without bias and with a penalty that is the
   * duality gap; otherwise no partial derivative may be larger than this.
   */
  readonly tolerance?: number;
  readonly signal?: AbortSignal;
  /** After each evaluation on the device. */
  readonly onEvaluation?: (evaluations: number, objective: number) => void;
}

export interface LogisticRegression extends LinearClassifier {
  /** Mean cross entropy plus penalty at the minimum. */
  readonly objective: number;
  /**
   * What the objective is above its minimum at most: the duality gap, which for this problem is ‖gradient‖² / 2λ. Infinite with a
   * bias or without penalty, where the gradient alone tells.
   */
  readonly gap: number;
  readonly gradientNorm: number;
  /** Arithmetic that objective, gap and gradient were checked in: large problems stay in that of the device. */
  readonly checkedIn: "float64" | "float32";
  readonly iterations: number;
  /** Times that the objective was computed on the device. */
  readonly evaluations: number;
  /** Whether the gap (or the gradient) came within the tolerance. */
  readonly converged: boolean;
  /** Device memory by plan. */
  readonly deviceBytes: number;
}

/** Aimed at below the accepted tolerance; float32 may end the search before. */
const aim = 1e-3;
/** Iterations without progress after which float32 has ended it. */
const patience = 50;
/** Rounding of a mean of float32 losses: each is a difference of logits of about 10, whose products err by some 2⁻²⁴ of that. */
const lossRounding = (value: number): number => 1e-5 * value + 4e-6;
/** Multiplications up to which the result is checked in float64 on the host: about half a second. */
const checkedMultiplications = 2 ** 28;

/**
 * Multinomial logistic regression: minimises `mean cross entropy + λ/2 · ‖W‖²` over weights (and bias), a convex problem, to its
 * minimum. Products run on the device; L-BFGS keeps its vectors in float64 on the host. No matrix of the size of the Hessian is held.
 *
 * @param labels - class of each row, from 0
 * @throws EvaluationError if labels do not fit, λ is negative, or features are too large for float32
 */
export async function fitLogisticRegression(
  device: Device,
  x: FeatureMatrix,
  labels: ArrayLike<number>,
  options: LogisticRegressionOptions,
): Promise<LogisticRegression> {
  checkMatrix("logisticRegression", x);
  checkLabels("logisticRegression", labels, x.rows);
  const { l2, bias, classes = classCount(labels), tolerance = 1e-6, maxIterations = 2000, signal } = options;
  if (!(l2 >= 0)) throw new EvaluationError(`logisticRegression: l2 is ${l2}; give 0 or more`);
  if (classCount(labels) > classes) {
    throw new EvaluationError(
      `logisticRegression: label ${classCount(labels) - 1} with ${classes} classes; give more classes`,
    );
  }
  const problem: LogisticProblem = { classes, columns: x.columns, l2, bias };
  const excess = excessOver(problem);
  const onDevice = new LogisticObjective(device, x, labels, problem);
  let evaluations = 0;
  const evaluate = async (parameters: Float64Array, gradient: Float64Array): Promise<number> => {
    signal?.throwIfAborted();
    const value = await onDevice.evaluate(parameters, gradient);
    evaluations++;
    if (evaluations === 1 && !gradient.every(Number.isFinite))
      throw new EvaluationError("logisticRegression: features are too large for float32; scale them first");
    options.onEvaluation?.(evaluations, value);
    return value;
  };
  try {
    const found = await minimise(evaluate, new Float64Array(classes * x.columns + classes), {
      maxIterations,
      rounding: lossRounding,
      excess,
      tolerance: aim * tolerance,
      patience,
    });
    const checkedIn = x.rows * x.columns * classes <= checkedMultiplications ? "float64" : "float32";
    const gradient = found.gradient.slice();
    const objective = checkedIn === "float64" ? logisticObjective(found.x, x, labels, problem, gradient) : found.value;
    const gradientNorm = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0));
    const fitted = classifierOf(found.x, classes, x.columns);
    const mean = fitted.bias.reduce((sum, each) => sum + each / classes, 0); // the soft-max leaves a constant free
    return {
      weight: fitted.weight,
      bias: fitted.bias.map((each) => each - mean),
      objective,
      gap: isStronglyConvex(problem) ? gradientNorm ** 2 / (2 * l2) : Number.POSITIVE_INFINITY,
      gradientNorm,
      checkedIn,
      iterations: found.iterations,
      evaluations,
      converged: excess(objective, gradient) <= tolerance,
      deviceBytes: onDevice.plannedBytes,
    };
  } finally {
    onDevice.destroy();
  }
}

function isStronglyConvex({ bias, l2 }: LogisticProblem): boolean {
  return bias === "none" && l2 > 0;
}

/**
 * What is left to gain, as the tolerance measures it. With a penalty on all parameters the dual point Q = soft-max of the logits has
 * the gap λ/2 ‖W - Xᵀ(Y - Q)/(nλ)‖² = ‖gradient‖² / 2λ.
 */
function excessOver(problem: LogisticProblem): (value: number, gradient: Float64Array) => number {
  if (!isStronglyConvex(problem))
    return (_, gradient) => gradient.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
  return (value, gradient) => gradient.reduce((sum, each) => sum + each * each, 0) / (2 * problem.l2 * value);
}
