import { AxisError } from "../core/errors.ts";
import { resolveAxis, type Shape, showShape, sizeOf } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { type CopyAxis, stridedCopy } from "./strided_copy.ts";

/**
 * Reorders axes: `y[i_axes[0], i_axes[1], …] = x[i_0, i_1, …]`.
 *
 * @param axes - for each axis of the result, the axis of `x` it comes from; negative ones count from the end
 * @returns a new tensor with the axes in that order
 * @throws AxisError if `axes` is not a permutation, RankError for more than six axes that cannot be merged
 */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  const rank = x.shape.length;
  const order = axes.map((axis) => resolveAxis("permute", axis, rank));
  if (order.length !== rank || new Set(order).size !== rank) {
    throw new AxisError(`permute: axes ${showShape(axes)} do not name each axis of ${showShape(x.shape)} once`);
  }
  const program = programOf("permute", x);
  const strides = contiguousStrides(x.shape);
  const shape = order.map((axis) => x.shape[axis] ?? 1);
  const y = program.empty(shape, x.dtype);
  const yStrides = contiguousStrides(shape);
  const copied = order.map(
    (axis, i): CopyAxis => ({ length: shape[i] ?? 1, xStride: strides[axis] ?? 0, yStride: yStrides[i] ?? 0 }),
  );
  stridedCopy("permute", program, x, y, copied);
  // A permutation is orthogonal: its gradient is the inverse one.
  const inverse = order.map((_, axis) => order.indexOf(axis));
  return program.record(y, [x], (dy) => [permute(dy, inverse)]);
}

/** Exchanges two axes, the last two unless named. @throws AxisError */
export function transpose(x: Tensor, first = -2, second = -1): Tensor {
  const rank = x.shape.length;
  const [a, b] = [resolveAxis("transpose", first, rank), resolveAxis("transpose", second, rank)];
  return permute(
    x,
    x.shape.map((_, axis) => (axis === a ? b : axis === b ? a : axis)),
  );
}

/** Elements between neighbours along each axis of a tensor without gaps. */
export function contiguousStrides(shape: Shape): number[] {
  return shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
}
