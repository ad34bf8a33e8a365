import { ShapeError } from "./errors.ts";
import { add } from "./ops/binary.ts";
import { full } from "./ops/fill.ts";
import type { Program } from "./program.ts";
import { showShape } from "./shape.ts";
import { reshape, type Tensor } from "./tensor.ts";

/** From the gradient of a result to those of the inputs; entries that are not needed may be undefined. */
export type GradientRule = (dy: Tensor, needs: readonly boolean[]) => readonly (Tensor | undefined)[];

export interface TapeEntry {
  readonly y: Tensor;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly rule: GradientRule;
}

/**
 * Reverse-mode differentiation over the tape of a program.
 *
 * @param loss - a scalar (one element), or any tensor when `seed` gives its gradient
 * @param targets - tensors to differentiate with respect to
 * @returns one gradient per target, in its shape; zeros where the loss does not depend on it
 * @throws ShapeError if the loss is not a scalar and no seed is given
 */
export function gradients(program: Program, loss: Tensor, targets: readonly Tensor[], seed?: Tensor): Tensor[] {
  if (!seed && loss.size !== 1) {
    throw new ShapeError(
      `gradients: the loss has shape ${showShape(loss.shape)}, expected one element; reduce it with sum or mean, or give a seed`,
    );
  }
  const wanted = dependents(program, targets);
  const slots = new Map<Tensor, Tensor>();
  slots.set(loss.base, reshape(seed ?? full(program, loss.shape, 1), loss.base.shape));
  // The tape is copied because gradient rules may record further operations.
  for (const { y, inputs, rule } of [...program.tape].reverse()) {
    const dy = slots.get(y.base);
    if (!dy || !wanted.has(y.base)) continue;
    if (!targets.some((target) => target.base === y.base)) slots.delete(y.base);
    const needs = inputs.map((x) => x !== undefined && wanted.has(x.base));
    const contributions = rule(reshape(dy, y.shape), needs);
    inputs.forEach((x, i) => {
      const dx = contributions[i];
      if (!x || !needs[i] || !dx) return;
      const known = slots.get(x.base);
      const shaped = reshape(dx, x.base.shape);
      slots.set(x.base, known ? add(known, shaped) : shaped);
    });
  }
  return targets.map((target) => reshape(slots.get(target.base) ?? full(program, target.base.shape, 0), target.shape));
}

/** All tensors on a path from a target. */
function dependents(program: Program, targets: readonly Tensor[]): Set<Tensor> {
  const reached = new Set(targets.map((target) => target.base));
  for (const { y, inputs } of program.tape) {
    if (inputs.some((x) => x && reached.has(x.base))) reached.add(y.base);
  }
  return reached;
}
