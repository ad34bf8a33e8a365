import { add } from "../ops/binary.ts";
import { full } from "../ops/fill.ts";
import { ShapeError } from "./errors.ts";
import type { Program } from "./program.ts";
import { showShape } from "./shape.ts";
import { reshape, type Tensor } from "./tensor.ts";

/** Gradients that reached the inputs of an operation on other paths already. */
export interface PendingGradients {
  /**
   * Hands over the gradient collected so far for an input, or undefined. Whoever takes it adds it to the gradient it returns,
   * which saves the separate sum.
   */
  take(input: number): Tensor | undefined;
}

/** From the gradient of a result to those of the inputs; entries that are not needed may be undefined. */
export type GradientRule = (
  dy: Tensor,
  needs: readonly boolean[],
  pending: PendingGradients,
) => readonly (Tensor | undefined)[];

export interface TapeEntry {
  readonly y: Tensor;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly rule: GradientRule;
}

/** A result together with the gradient that arrives at it. */
export interface SeededOutput {
  readonly output: Tensor;
  /** Gradient with respect to `output`, in its shape; 1 if left out, which needs a scalar. */
  readonly gradient?: Tensor;
}

/**
 * Reverse-mode differentiation over the tape of a program.
 *
 * @param outputs - where differentiation starts: one scalar, or results with gradients that came from elsewhere
 * @param targets - tensors to differentiate with respect to
 * @returns one gradient per target, in its shape; zeros where no output depends on it
 * @throws ShapeError if an output without a gradient is not a scalar
 */
export function gradients(program: Program, outputs: readonly SeededOutput[], targets: readonly Tensor[]): Tensor[] {
  const wanted = dependents(program, targets);
  const slots = new Map<Tensor, Tensor>();
  for (const { output, gradient } of outputs) {
    if (!gradient && output.size !== 1) {
      throw new ShapeError(
        `gradients: the loss has shape ${showShape(output.shape)}, expected one element; reduce it with sum or mean, or give a seed`,
      );
    }
    const seed = reshape(gradient ?? full(program, output.shape, 1), output.base.shape);
    const known = slots.get(output.base);
    slots.set(output.base, known ? add(known, seed) : seed);
  }
  // The tape is copied because gradient rules may record further operations.
  for (const { y, inputs, rule } of [...program.tape].reverse()) {
    const dy = slots.get(y.base);
    if (!dy || !wanted.has(y.base)) continue;
    if (!targets.some((target) => target.base === y.base)) slots.delete(y.base);
    const needs = inputs.map((x) => x !== undefined && wanted.has(x.base));
    const take = (input: number): Tensor | undefined => {
      const x = inputs[input];
      const known = x && needs[input] ? slots.get(x.base) : undefined;
      if (!x || !known) return undefined;
      slots.delete(x.base);
      return reshape(known, x.shape);
    };
    const contributions = rule(reshape(dy, y.shape), needs, { take });
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
