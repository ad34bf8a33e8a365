import { ShapeError } from "../core/errors.ts";
import { type Shape, showShape } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { broadcastShape } from "./broadcast.ts";
import { contiguousStrides } from "./permute.ts";
import { sumTo } from "./reduce.ts";
import { stridedCopy } from "./strided_copy.ts";

/**
 * Repeats `x` along the axes where it has length 1 (or none) until it has the given shape.
 *
 * @throws ShapeError if `x` does not broadcast to `shape`
 */
export function expand(x: Tensor, shape: Shape): Tensor {
  if (broadcastShape("expand", x.shape, shape).join() !== shape.join()) {
    throw new ShapeError(
      `expand: ${showShape(x.shape)} does not repeat to ${showShape(shape)}; lengths must be equal or 1`,
    );
  }
  const program = programOf("expand", x);
  const y = program.empty(shape, x.dtype);
  const lead = shape.length - x.shape.length;
  const xStrides = contiguousStrides(x.shape);
  const yStrides = contiguousStrides(shape);
  const axes = shape.map((length, axis) => ({
    length,
    xStride: x.shape[axis - lead] === length ? (xStrides[axis - lead] ?? 0) : 0,
    yStride: yStrides[axis] ?? 0,
  }));
  stridedCopy("expand", program, x, y, axes);
  return program.record(y, [x], (dy) => [sumTo(dy, x.shape)]);
}
