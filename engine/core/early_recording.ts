import { operandsOf, writtenBy } from "./command.ts";
import { overlap } from "./merge_commands.ts";
import type { Command, Program, Storage, Tensor } from "./recording.ts";

/**
 * Places what `record` appends as early as its operands allow: each command right behind the last one that wrote a recorded
 * tensor that it touches. Sums of gradients into state then free each gradient at once instead of keeping all to the end.
 *
 * @param record - appends commands whose state nothing else in the program touches, since they move past other commands
 */
export function recordEarly(program: Program, record: () => void): void {
  const { commands } = program.resolve();
  const from = commands.length;
  record();
  const appended = commands.splice(from);
  const writes = new Writes();
  commands.forEach((command, index) => {
    for (const x of writtenBy(command)) writes.add(x, index);
  });
  const behind = new Map<number, Command[]>();
  for (const command of appended) {
    const at = Math.max(-1, ...operandsOf(command).map((x) => writes.lastOf(x)));
    for (const x of writtenBy(command)) writes.add(x, at);
    behind.set(at, [...(behind.get(at) ?? []), command]);
  }
  const ordered = [...(behind.get(-1) ?? []), ...commands.flatMap((command, i) => [command, ...(behind.get(i) ?? [])])];
  commands.splice(0, commands.length, ...ordered);
}

/** Where memory was written last. Tensors of an arena share a storage, but one does not wait for the other. */
class Writes {
  readonly #known = new Map<Storage, { readonly x: Tensor; readonly at: number }[]>();

  add(x: Tensor, at: number): void {
    const known = this.#known.get(x.storage);
    if (known) known.push({ x, at });
    else this.#known.set(x.storage, [{ x, at }]);
  }

  /** Index of the last command that wrote a part of `x`; -1 if none did. */
  lastOf(x: Tensor): number {
    const known = this.#known.get(x.storage) ?? [];
    return known.reduce((last, write) => (overlap(write.x, x) ? Math.max(last, write.at) : last), -1);
  }
}
