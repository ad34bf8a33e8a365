import { reshape, type Tensor } from "../core/tensor.ts";
import { div, mul } from "./binary.ts";
import { cast } from "./cast.ts";
import { equal } from "./compare.ts";
import { isFloat, keptShape, type ReduceOptions, reduceAxes, reducedAxes, sum, withoutAxes } from "./reduce.ts";
import { where } from "./where.ts";

/**
 * Product over axes, in a fixed order. NaN passes, 0 · ∞ is NaN. Types as of `sum`.
 *
 * @throws AxisError, DTypeError for u8
 */
export function prod(x: Tensor, options: ReduceOptions = {}): Tensor {
  const axes = reducedAxes("prod", x, options.axes);
  const kept = keptShape(x.shape, axes);
  const y = reduceAxes("prod", x, axes, { kind: "prod" });
  const shape = options.keepDims ? kept : withoutAxes(x.shape, axes);
  if (y.base === x.base) return reshape(x, shape);
  if (!isFloat(x.dtype)) return reshape(y, shape);
  y.program.record(y, [x], (dy) => [mul(reshape(dy, kept), productOfOthers(x, reshape(y, kept), axes))]);
  return reshape(y, shape);
}

/** y / x where no element is 0; a single 0 has the product of the rest, and beside two of them all have 0. */
function productOfOthers(x: Tensor, y: Tensor, axes: readonly number[]): Tensor {
  const isZero = equal(x, 0);
  const zeros = sum(cast(isZero, x.dtype), { axes, keepDims: true });
  const nonzero = where(isZero, 1, x);
  const rest = prod(nonzero, { axes, keepDims: true });
  return where(isZero, where(equal(zeros, 1), rest, 0), where(equal(zeros, 0), div(y, nonzero), 0));
}
