import { RankError, ShapeError } from "../core/errors.ts";
import { type Shape, showShape } from "../core/shape.ts";

/** Most runs of axes that the broadcasting kernels walk over. */
const mostAxes = 4;

/** A loop nest of four axes over the result; per operand one stride in elements per axis, 0 where it repeats. */
export interface BroadcastLoop {
  readonly shape: readonly number[];
  readonly strides: readonly (readonly number[])[];
}

/**
 * The shape that operands have together: aligned at the last axis, lengths equal or 1 (the rule of numpy).
 *
 * @throws ShapeError if two lengths differ and neither is 1
 */
export function broadcastShape(operation: string, ...shapes: readonly Shape[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const lengths = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
    const length = Math.max(...lengths);
    if (lengths.some((other) => other !== 1 && other !== length)) {
      throw new ShapeError(
        `${operation}: shapes ${shapes.map(showShape).join(" and ")} do not broadcast; aligned at the last axis, lengths must be equal or 1`,
      );
    }
    return length;
  });
}

/**
 * Merges neighbouring axes on which every operand either moves on or repeats, so that few are left to walk over.
 *
 * @throws RankError if more than four runs of axes remain
 */
export function broadcastLoop(operation: string, result: Shape, operands: readonly Shape[]): BroadcastLoop {
  const runs = axisRuns(result, operands);
  const shape = runs.map(({ length }) => length);
  const strides = operands.map((_, k) =>
    runs.map(({ moves }, axis) => {
      const inner = runs.slice(axis + 1).filter((run) => run.moves[k]);
      return moves[k] ? inner.reduce((step, { length }) => step * length, 1) : 0;
    }),
  );
  if (shape.length > mostAxes) {
    throw new RankError(
      `${operation}: ${operands.map(showShape).join(" and ")} repeat along ${shape.length} separate runs of axes, at most ${mostAxes} are supported; permute the repeated axes together`,
    );
  }
  const padded = (values: readonly number[], filler: number) => [
    ...Array(mostAxes - values.length).fill(filler),
    ...values,
  ];
  return { shape: padded(shape, 1), strides: strides.map((stride) => padded(stride, 0)) };
}

interface AxisRun {
  readonly length: number;
  /** Per operand, whether it moves on along these axes; otherwise it repeats. */
  readonly moves: readonly boolean[];
}

function axisRuns(result: Shape, operands: readonly Shape[]): AxisRun[] {
  const runs: AxisRun[] = [];
  for (const [axis, length] of result.entries()) {
    if (length === 1) continue;
    const moves = operands.map((operand) => (operand[axis - result.length + operand.length] ?? 1) !== 1);
    const last = runs.at(-1);
    if (last?.moves.every((move, k) => move === moves[k]))
      runs[runs.length - 1] = { length: last.length * length, moves };
    else runs.push({ length, moves });
  }
  return runs;
}

/** A loop nest that walks the last axis by fours, and which operands move along with it. */
export interface WideLoop extends BroadcastLoop {
  /** Numbers per step along the last axis: 4 where that divides it, else 1. */
  readonly width: 1 | 4;
  /** Per operand, whether it is read by `width` numbers too; otherwise it repeats along the last axis. */
  readonly moves: readonly boolean[];
}

/** @param mixed - whether operands that repeat along the last axis may be read one number at a time beside the others */
export function widenLoop(loop: BroadcastLoop, mixed: boolean): WideLoop {
  const last = mostAxes - 1;
  const moves = loop.strides.map((stride) => stride[last] === 1);
  if ((!mixed && moves.includes(false)) || (loop.shape[last] ?? 1) % 4 !== 0) return { ...loop, width: 1, moves };
  const shape = loop.shape.map((length, axis) => (axis === last ? length / 4 : length));
  const strides = loop.strides.map((stride, k) => {
    return moves[k] ? stride.map((step, axis) => (axis === last ? 1 : step / 4)) : stride;
  });
  return { ...loop, shape, strides, width: 4, moves };
}
