import { sizeOf } from "../core/shape.ts";
import { reshape, type Tensor } from "../core/tensor.ts";
import { mul } from "./binary.ts";
import { cast } from "./cast.ts";
import { expand, keptShape, type ReduceOptions, reduceAxes, reducedAxes, withoutAxes } from "./reduce.ts";

/**
 * Mean over axes, in a fixed order; NaN and infinities as in `sum`. Of the type of `x`, and f32 for integers, such as the share of a
 * comparison that holds: `mean(greater(a, b))`.
 *
 * @throws AxisError, DTypeError for u8
 */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  if (x.dtype === "u32" || x.dtype === "i32") return mean(cast(x, "f32"), options);
  const axes = reducedAxes("mean", x, options.axes);
  const kept = keptShape(x.shape, axes);
  const scale = sizeOf(kept) / x.size;
  const y = reduceAxes("mean", x, axes, { kind: "sum", scale });
  if (y.base !== x.base) y.program.record(y, [x], (dy) => [expand(reshape(mul(dy, scale), kept), x.shape)]);
  return reshape(y, options.keepDims ? kept : withoutAxes(x.shape, axes));
}
