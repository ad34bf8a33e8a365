import { programOf, reshape, type Tensor } from "../core/tensor.ts";
import { div, mul } from "./binary.ts";
import { equal } from "./compare.ts";
import { full } from "./fill.ts";
import { isFloat, keptShape, type ReduceOptions, reduceAxes, reducedAxes, sum, withoutAxes } from "./reduce.ts";
import { where } from "./where.ts";

/**
 * Largest value over axes; elements that share it share the gradient, as in PyTorch's `amax`. NaN passes through, -∞ is the
 * largest of itself. Of integers without a gradient.
 *
 * @throws AxisError, DTypeError for u8
 */
export function max(x: Tensor, options: ReduceOptions = {}): Tensor {
  return extreme("max", x, options);
}

/** Smallest value over axes; otherwise as {@link max}. @throws AxisError, DTypeError for u8 */
export function min(x: Tensor, options: ReduceOptions = {}): Tensor {
  return extreme("min", x, options);
}

function extreme(kind: "max" | "min", x: Tensor, options: ReduceOptions): Tensor {
  const axes = reducedAxes(kind, x, options.axes);
  const kept = keptShape(x.shape, axes);
  const y = reduceAxes(kind, x, axes, { kind });
  if (y.base === x.base) return reshape(x, options.keepDims ? kept : withoutAxes(x.shape, axes));
  if (!isFloat(x.dtype)) return reshape(y, options.keepDims ? kept : withoutAxes(x.shape, axes));
  y.program.record(y, [x], (dy) => {
    const program = programOf(kind, x, dy);
    const winners = where(equal(x, reshape(y, kept)), full(program, [1], 1, x.dtype), 0);
    return [mul(winners, div(reshape(dy, kept), sum(winners, { axes, keepDims: true })))];
  });
  return reshape(y, options.keepDims ? kept : withoutAxes(x.shape, axes));
}
