import { IndexError, OptionError, RankError } from "../core/errors.ts";
import type { Program } from "../core/program.ts";
import { type Shape, showShape } from "../core/shape.ts";
import { canViewRows, programOf, stateOf, type Tensor, viewRows } from "../core/tensor.ts";
import { fillState } from "./fill.ts";
import { contiguousStrides } from "./permute.ts";
import { stridedCopy } from "./strided_copy.ts";

/** First index, the one after the last, and the distance between neighbours, 1 if left out. */
export type Range = readonly [from: number, to: number, step?: number];

/**
 * A box out of a tensor. A range of the first axis alone of a recorded tensor is a free view if it starts at a multiple of
 * 256 bytes. State is always copied, since a view of it would belong to no program that could keep its gradient rule.
 *
 * @param ranges - per axis, from the first; `undefined` or missing: the whole axis
 * @throws RankError for more ranges than axes, IndexError for a range that is empty or outside, OptionError for a step that is not positive
 */
export function slice(x: Tensor, ranges: readonly (Range | undefined)[]): Tensor {
  if (ranges.length > x.shape.length) {
    throw new RankError(`slice: ${ranges.length} ranges for the axes of ${showShape(x.shape)}; give at most one each`);
  }
  const box = x.shape.map((length, axis): Range => ranges[axis] ?? [0, length]);
  for (const [axis, range] of box.entries()) checkRange(x.shape, axis, range);
  const program = programOf("slice", x);
  const y = viewOf(x, box) ?? copyOf(program, x, box);
  return program.record(y, [x], (dy) => [paste(dy, x.shape, box)]);
}

function checkRange(shape: Shape, axis: number, [from, to, step = 1]: Range): void {
  const length = shape[axis] ?? 0;
  if (!Number.isInteger(step) || step < 1)
    throw new OptionError(
      `slice: step ${step} of axis ${axis}, expected a positive integer; flip turns an axis around`,
    );
  if (Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from < to && to <= length) return;
  throw new IndexError(
    `slice: ${from} … ${to} is not a range of axis ${axis} of ${showShape(shape)}; expected 0 ≤ from < to ≤ ${length}`,
  );
}

function viewOf(x: Tensor, box: readonly Range[]): Tensor | undefined {
  const [leading, ...rest] = box;
  const whole = rest.every(([from, to, step = 1], i) => from === 0 && to === x.shape[i + 1] && step === 1);
  return leading && (leading[2] ?? 1) === 1 && whole && !stateOf(x) && canViewRows(x, leading[0])
    ? viewRows(x, leading[0], leading[1])
    : undefined;
}

function copyOf(program: Program, x: Tensor, box: readonly Range[]): Tensor {
  const y = program.empty(box.map(lengthOf), x.dtype);
  const { axes, offset } = boxAxes(x.shape, box);
  const copied = axes.map(({ length, inner, outer }) => ({ length, xStride: outer, yStride: inner }));
  stridedCopy("slice", program, x, y, copied, { x: offset, y: 0 });
  return y;
}

/** The gradient of a slice: `x` inside the box of a tensor that is zero elsewhere. */
export function paste(x: Tensor, shape: Shape, box: readonly Range[]): Tensor {
  const program = programOf("slice", x);
  const y = program.empty(shape, x.dtype);
  if (x.size < y.size) fillState(y.program, y, 0);
  pasteInto("slice", x, y, box);
  return y.program.record(y, [x], (g) => [slice(g, box)]);
}

/** Copies `x` into a box of `y`; the rest of `y` keeps its values. */
export function pasteInto(operation: string, x: Tensor, y: Tensor, box: readonly Range[]): void {
  const { axes, offset } = boxAxes(y.shape, box);
  const copied = axes.map(({ length, inner, outer }) => ({ length, xStride: inner, yStride: outer }));
  stridedCopy(operation, programOf(operation, x, y), x, y, copied, { x: 0, y: offset });
}

function lengthOf([from, to, step = 1]: Range): number {
  return Math.ceil((to - from) / step);
}

/** Lengths of a box with the strides inside the box and in the tensor around it. */
function boxAxes(shape: Shape, box: readonly Range[]) {
  const lengths = box.map(lengthOf);
  const inner = contiguousStrides(lengths);
  const outer = contiguousStrides(shape);
  const axes = lengths.map((length, axis) => {
    const step = box[axis]?.[2] ?? 1;
    return { length, inner: inner[axis] ?? 0, outer: step * (outer[axis] ?? 0) };
  });
  const offset = box.reduce((sum, [from], axis) => sum + from * (outer[axis] ?? 0), 0);
  return { axes, offset };
}
