import { OptionError } from "./errors.ts";
import type { Program } from "./recording.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Gradient checkpointing (arXiv 1604.06174): records `forward(x)` without keeping its inner values for the backward pass, which
 * records `forward` once more and differentiates that. Costs one more forward pass of the region; only `x` stays alive.
 *
 * @param forward - records the region; must write no state and return a tensor of its own, not a view of `x`
 * @param parameters - everything beside `x` that `forward` reads and gradients may be wanted for
 * @returns what `forward` returns, with the gradients that it has without checkpointing, bit for bit
 * @throws OptionError if `forward` returns `x` or a reshaped form of it
 */
export function checkpoint(
  program: Program,
  forward: (x: Tensor) => Tensor,
  x: Tensor,
  parameters: readonly Tensor[],
): Tensor {
  const given = [x, ...parameters];
  // What leads to the operands stays on the tape, so it must be there before the region has one of its own.
  const owner = program.adopt("checkpoint", given);
  const y = onOwnTape(owner, () => {
    const result = forward(x);
    owner.adopt("checkpoint", [result]);
    return result;
  });
  if (y.base === x.base)
    throw new OptionError("checkpoint: the region returns its operand; leave out regions that compute nothing");
  return owner.record(y, given, (dy, needs, pending) => {
    const targets = given.filter((_, i) => needs[i]);
    // What reached `x` on other paths is added to first, as it would be without a region: the order of a sum decides its bits.
    const before = needs[0] ? pending.take(0) : undefined;
    const known = before ? [{ output: x, gradient: before }] : [];
    const list = onOwnTape(owner, () => owner.pullBack([...known, { output: forward(x), gradient: dy }], targets));
    let next = 0;
    return needs.map((isNeeded) => (isNeeded ? list[next++] : undefined));
  });
}

/** Runs `record` with an empty tape and puts the present one back. */
function onOwnTape<T>(program: Program, record: () => T): T {
  const { tape } = program.resolve();
  const outer = tape.splice(0);
  try {
    return record();
  } finally {
    tape.splice(0, tape.length, ...outer);
  }
}
