import { sizeOf } from "../core/shape.ts";
import { reshape, type Tensor } from "../core/tensor.ts";
import { mul } from "./binary.ts";
import { expand, keptShape, type ReduceOptions, reduceAxes, reducedAxes, withoutAxes } from "./reduce.ts";

/** Mean over axes, in a fixed order; NaN and infinities as in `sum`. @throws AxisError, DTypeError unless f32 */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  const axes = reducedAxes("mean", x, options.axes);
  const kept = keptShape(x.shape, axes);
  const scale = sizeOf(kept) / x.size;
  const y = reduceAxes("mean", x, axes, { kind: "sum", scale });
  if (y.base !== x.base) y.program.record(y, [x], (dy) => [expand(reshape(mul(dy, scale), kept), x.shape)]);
  return reshape(y, options.keepDims ? kept : withoutAxes(x.shape, axes));
}
