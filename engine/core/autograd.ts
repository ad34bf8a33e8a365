import { ShapeError } from "./errors.ts";
import { GradientPaths } from "./gradient_paths.ts";
import { Overwrites } from "./overwrites.ts";
import type { Program, Tensor as RecordedTensor, SeededOutput, TapeEntry } from "./recording.ts";
import { showShape } from "./shape.ts";
import { reshape, type Tensor } from "./tensor.ts";

/**
 * Reverse-mode differentiation over the tape of a program.
 *
 * @param outputs - where differentiation starts: one scalar, or results with gradients that came from elsewhere
 * @param targets - tensors to differentiate with respect to
 * @returns one gradient per target, in its shape; zeros where no output depends on it
 * @throws ShapeError if an output without a gradient is not a scalar
 * @throws NoGradientError if a gradient would have to pass an operation that states none
 */
export function gradients(program: Program, outputs: readonly SeededOutput[], targets: readonly Tensor[]): Tensor[] {
  const { full } = program.device.arithmetic;
  const slots = new GradientSlots(program);
  const paths = new GradientPaths(program, targets);
  const overwrites = new Overwrites(program);
  for (const { output, gradient } of outputs) {
    if (!gradient && output.size !== 1) {
      throw new ShapeError(
        `gradients: the loss has shape ${showShape(output.shape)}, expected one element; reduce it with sum or mean, or give a seed`,
      );
    }
    paths.checkOutput(output);
    slots.add(output, gradient ?? full(program, output.shape, 1));
  }
  // The tape is copied because gradient rules may record further operations.
  for (const entry of [...program.tape].reverse()) {
    if (!paths.leadFrom(entry.y)) continue;
    const dy = targets.some((target) => target.base === entry.y.base) ? slots.look(entry.y) : slots.take(entry.y);
    if (!dy) continue;
    const recorded = program.commands.length;
    passOn(entry, dy, paths, slots);
    overwrites.check(entry, dy, program.commands.slice(recorded));
  }
  paths.checkArrival(
    outputs.map(({ output }) => output),
    targets.map((target) => slots.look(target)),
  );
  return targets.map((target) => slots.look(target) ?? full(program, target.shape, 0));
}

/** Hands the gradient of a result on to the inputs that lead to a target. */
function passOn(entry: TapeEntry, dy: Tensor, paths: GradientPaths, slots: GradientSlots): void {
  const { inputs, rule } = entry;
  const needs = paths.needsOf(entry);
  const take = (input: number): Tensor | undefined => {
    const x = inputs[input];
    return x && needs[input] ? slots.take(x) : undefined;
  };
  const contributions = rule(dy, needs, { take });
  inputs.forEach((x, i) => {
    const dx = contributions[i];
    if (!x || !needs[i] || !dx) return;
    paths.checkInput(entry, i);
    slots.add(x, dx);
  });
}

/** The gradients collected so far, one for all reshaped forms of a tensor. */
class GradientSlots {
  readonly #slots = new Map<RecordedTensor, Tensor>();

  constructor(readonly program: Program) {}

  add(x: RecordedTensor, gradient: Tensor): void {
    const known = this.#slots.get(x.base);
    const shaped = reshape(gradient, x.base.shape);
    this.#slots.set(x.base, known ? this.program.device.arithmetic.add(known, shaped) : shaped);
  }

  look(x: RecordedTensor): Tensor | undefined {
    const known = this.#slots.get(x.base);
    return known && reshape(known, x.shape);
  }

  take(x: RecordedTensor): Tensor | undefined {
    const known = this.look(x);
    this.#slots.delete(x.base);
    return known;
  }
}
