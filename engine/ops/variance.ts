import { OptionError } from "../core/errors.ts";
import { checkDType, sizeOf } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { mul, sub } from "./binary.ts";
import { mean } from "./mean.ts";
import { keptShape, type ReduceOptions, reducedAxes } from "./reduce.ts";
import { sqrt, square } from "./unary.ts";

export interface VarianceOptions extends ReduceOptions {
  /** What the number of elements is lowered by before the sum of squares is divided by it. Default 1: the unbiased estimate. */
  readonly correction?: number;
}

/**
 * Mean square distance to the mean over axes, from the differences themselves, so that a large mean costs no digits. NaN passes, ∞ gives
 * NaN.
 *
 * @throws AxisError, DTypeError unless f32, OptionError where the correction leaves no element
 */
export function variance(x: Tensor, options: VarianceOptions = {}): Tensor {
  checkDType("variance", "x", x, ["f32"]); // squares of f16 overflow from 256 on
  const { correction = 1, ...reduction } = options;
  const count = x.size / sizeOf(keptShape(x.shape, reducedAxes("variance", x, options.axes)));
  if (!(correction >= 0 && correction < count)) {
    throw new OptionError(
      `variance: correction ${correction} for ${count} elements, expected 0 … ${count} (${count} excluded); choose 0 for one element`,
    );
  }
  const centred = sub(x, mean(x, { ...(reduction.axes ? { axes: reduction.axes } : {}), keepDims: true }));
  return mul(mean(square(centred), reduction), count / (count - correction));
}

/** Square root of the {@link variance}; its gradient is infinite, or NaN, where that is 0. @throws as it */
export function standardDeviation(x: Tensor, options: VarianceOptions = {}): Tensor {
  return sqrt(variance(x, options));
}
