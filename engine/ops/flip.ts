import { AxisError, OptionError } from "../core/errors.ts";
import { resolveAxis, showShape } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { contiguousStrides } from "./permute.ts";
import { stridedCopy } from "./strided_copy.ts";

/**
 * Turns axes around: the last element comes first.
 *
 * @param axes - negative ones count from the end; all of them if left out
 * @throws AxisError for one outside or named twice, DTypeError for u8 along the last axis
 */
export function flip(x: Tensor, axes: readonly number[] = x.shape.map((_, axis) => axis)): Tensor {
  const turned = axes.map((axis) => resolveAxis("flip", axis, x.shape.length));
  if (new Set(turned).size !== turned.length)
    throw new AxisError(`flip: axes ${showShape(axes)} name an axis of ${showShape(x.shape)} twice`);
  const program = programOf("flip", x);
  const y = program.empty(x.shape, x.dtype);
  const strides = contiguousStrides(x.shape);
  let offset = 0;
  const copied = x.shape.map((length, axis) => {
    const stride = strides[axis] ?? 1;
    if (!turned.includes(axis)) return { length, xStride: stride, yStride: stride };
    offset += (length - 1) * stride;
    return { length, xStride: -stride, yStride: stride };
  });
  stridedCopy("flip", program, x, y, copied, { x: offset, y: 0 });
  return program.record(y, [x], (dy) => [flip(dy, turned)]);
}

/**
 * Moves elements along axes; those that leave at one end come in at the other: `y[(n + shift) mod length] = x[n]`.
 *
 * @param shifts - places, one per axis, of either sign
 * @param axes - negative ones count from the end
 * @throws AxisError for an axis outside or named twice, OptionError for shifts that are not one whole number per axis
 */
export function roll(x: Tensor, shifts: readonly number[], axes: readonly number[]): Tensor {
  const moved = axes.map((axis) => resolveAxis("roll", axis, x.shape.length));
  if (new Set(moved).size !== moved.length)
    throw new AxisError(`roll: axes ${showShape(axes)} name an axis of ${showShape(x.shape)} twice`);
  if (shifts.length !== axes.length || !shifts.every(Number.isInteger)) {
    throw new OptionError(
      `roll: shifts ${showShape(shifts)} for the axes ${showShape(axes)}, expected one whole number per axis`,
    );
  }
  const program = programOf("roll", x);
  const y = program.empty(x.shape, x.dtype);
  const strides = contiguousStrides(x.shape);
  // Each axis falls into two parts that stay whole; every combination of parts is one copy.
  const pieces = x.shape.map((length, axis) => {
    const at = moved.indexOf(axis);
    const shift = ((((at < 0 ? 0 : shifts[at]) ?? 0) % length) + length) % length;
    const whole = { from: 0, to: shift, length: length - shift };
    return shift === 0 ? [whole] : [whole, { from: length - shift, to: 0, length: shift }];
  });
  const combinations = pieces.reduce<Piece[][]>(
    (all, parts) => all.flatMap((before) => parts.map((part) => [...before, part])),
    [[]],
  );
  for (const combination of combinations) {
    const offsets = { x: 0, y: 0 };
    const copied = combination.map(({ from, to, length }, axis) => {
      const stride = strides[axis] ?? 1;
      offsets.x += from * stride;
      offsets.y += to * stride;
      return { length, xStride: stride, yStride: stride };
    });
    stridedCopy("roll", program, x, y, copied, offsets);
  }
  const back = shifts.map((shift) => -shift);
  return program.record(y, [x], (dy) => [roll(dy, back, moved)]);
}

interface Piece {
  readonly from: number;
  readonly to: number;
  readonly length: number;
}
