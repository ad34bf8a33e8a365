import { type Tensor, viewRows } from "../core/tensor.ts";
import { paste } from "./slice.ts";

/**
 * Rows `from … to` of the first axis without a copy: they share the memory of `x`, also where that is state. Their gradient is
 * that of `x` in these rows, and 0 in the others.
 *
 * @throws ShapeError if the range is empty, outside, or does not start at a multiple of 256 bytes (use `slice` there)
 */
export function rows(x: Tensor, from: number, to: number): Tensor {
  const others = x.shape.slice(1).map((length): [number, number] => [0, length]);
  return viewRows(x, from, to, (dy) => [paste(dy, x.shape, [[from, to], ...others])]);
}
