import type { DType } from "./dtype.ts";
import { AxisError, DTypeError, RankError, ShapeError } from "./errors.ts";

export type Shape = readonly number[];

/** The part of a tensor that shape checks need. */
export interface Shaped {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, length) => product * length, 1);
}

export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** @throws ShapeError if a length is not a positive integer */
export function checkShape(operation: string, shape: Shape): void {
  for (const length of shape) {
    if (!Number.isInteger(length) || length < 1) {
      throw new ShapeError(
        `${operation}: shape ${showShape(shape)} has a length that is not a positive integer; empty tensors do not exist`,
      );
    }
  }
}

/** @throws RankError unless `x` has `rank` axes */
export function checkRank(operation: string, name: string, x: Shaped, rank: number): void {
  if (x.shape.length !== rank) {
    throw new RankError(
      `${operation}: ${name} has shape ${showShape(x.shape)}, expected ${rank} axes; reshape it first`,
    );
  }
}

/** @throws RankError unless `x` is a matrix; its two lengths */
export function matrixShape(operation: string, name: string, x: Shaped): [number, number] {
  checkRank(operation, name, x, 2);
  return [x.shape[0] ?? 1, x.shape[1] ?? 1];
}

/** `[rows, columns]` with all leading axes flattened into rows. */
export function rowsAndColumns(operation: string, name: string, x: Shaped): [number, number] {
  const columns = x.shape.at(-1);
  if (columns === undefined) throw new RankError(`${operation}: ${name} is a scalar, expected at least one axis`);
  return [sizeOf(x.shape) / columns, columns];
}

/** @throws DTypeError unless the type of `x` is one of `allowed` */
export function checkDType(operation: string, name: string, x: Shaped, allowed: readonly DType[]): void {
  if (!allowed.includes(x.dtype)) {
    throw new DTypeError(`${operation}: ${name} is ${x.dtype}, expected ${allowed.join(" or ")}; use cast`);
  }
}

/** @throws ShapeError unless the two shapes are equal */
export function checkSameShape(operation: string, name: string, shape: Shape, expected: Shape): void {
  if (shape.length !== expected.length || shape.some((length, axis) => length !== expected[axis])) {
    throw new ShapeError(`${operation}: ${name} has shape ${showShape(shape)}, expected ${showShape(expected)}`);
  }
}

/** Axis counted from the front. @throws AxisError outside `-rank … rank - 1` */
export function resolveAxis(operation: string, axis: number, rank: number): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    throw new AxisError(`${operation}: axis ${axis} is outside -${rank} … ${rank - 1} of a tensor with ${rank} axes`);
  }
  return axis < 0 ? axis + rank : axis;
}
