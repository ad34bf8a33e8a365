import type { Tensor } from "../core/tensor.ts";
import { sub } from "./binary.ts";
import { mean } from "./mean.ts";
import { square } from "./unary.ts";

/** Mean of (a − b)² over all elements, a scalar; NaN if one is, or if both are the same infinity. @throws ShapeError if the shapes do not broadcast, DTypeError unless f32 */
export function meanSquareError(a: Tensor, b: Tensor): Tensor {
  return mean(square(sub(a, b)));
}
