import { OptionError } from "../core/errors.ts";
import { checkDType, checkSameShape, rowsAndColumns } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { add, mul, sub } from "./binary.ts";
import { clamp } from "./clamp.ts";
import { equal } from "./compare.ts";
import { mean } from "./mean.ts";
import { sum } from "./reduce.ts";
import { abs, log, neg, softplus } from "./unary.ts";
import { where } from "./where.ts";

/** Mean of |a − b| over all elements, a scalar; NaN if one is. @throws ShapeError if the shapes do not broadcast, DTypeError unless f32 */
export function meanAbsoluteError(a: Tensor, b: Tensor): Tensor {
  checkDType("meanAbsoluteError", "a", a, ["f32"]);
  return mean(abs(sub(a, b)));
}

export interface HuberOptions {
  /** Distance from which on the loss grows linearly. Default 1. */
  readonly delta?: number;
}

/**
 * Mean of d² / 2 where d = |a − b| is up to delta, and of delta (d − delta / 2) beyond (Huber, 1964); PyTorch's `huber_loss`. NaN if one is.
 *
 * @throws ShapeError if the shapes do not broadcast, DTypeError unless f32, OptionError for a delta that is not positive
 */
export function huberLoss(a: Tensor, b: Tensor, { delta = 1 }: HuberOptions = {}): Tensor {
  checkDType("huberLoss", "a", a, ["f32"]);
  if (!(delta > 0)) throw new OptionError(`huberLoss: delta ${delta} is not positive; a usual value is 1`);
  const distance = abs(sub(a, b));
  const near = clamp(distance, { high: delta });
  return mean(mul(near, sub(distance, mul(near, 0.5))));
}

export interface BinaryCrossEntropyOptions {
  /** Factor of the losses of what is wanted, of a shape that broadcasts: such as the ratio of negative to positive examples per class. */
  readonly positiveWeight?: Tensor | number;
}

/**
 * Mean of −t log σ(x) − (1 − t) log(1 − σ(x)) over all elements, from logits, without overflow; `binary_cross_entropy_with_logits`. NaN and
 * infinite logits give NaN.
 *
 * @param logits - f32
 * @param targets - probabilities 0 … 1, of a shape that broadcasts
 * @returns a scalar
 * @throws ShapeError, DTypeError
 */
export function binaryCrossEntropy(logits: Tensor, targets: Tensor, options: BinaryCrossEntropyOptions = {}): Tensor {
  checkDType("binaryCrossEntropy", "logits", logits, ["f32"]);
  const { positiveWeight = 1 } = options;
  const wanted = positiveWeight === 1 ? targets : mul(targets, positiveWeight);
  return mean(add(mul(wanted, softplus(neg(logits))), mul(sub(1, targets), softplus(logits))));
}

/**
 * Kullback-Leibler divergence Σ p (log p − log q) of each row of classes, averaged over rows; of a matrix `kl_div` with
 * `batchmean`. A class of probability 0 adds nothing, whatever q says of it; NaN passes.
 *
 * @param logQ - logarithms of probabilities, `[…, classes]`, f32
 * @param p - probabilities, of the same shape
 * @returns a scalar
 * @throws ShapeError, DTypeError, RankError for scalars
 */
export function klDivergence(logQ: Tensor, p: Tensor): Tensor {
  checkDType("klDivergence", "logQ", logQ, ["f32"]);
  checkSameShape("klDivergence", "p", p.shape, logQ.shape);
  const [rows] = rowsAndColumns("klDivergence", "logQ", logQ);
  const isZero = equal(p, 0);
  return mul(sum(where(isZero, 0, mul(p, sub(log(where(isZero, 1, p)), logQ)))), 1 / rows);
}
