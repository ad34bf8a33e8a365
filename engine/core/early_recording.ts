import { operandsOf, writtenBy } from "./command.ts";
import type { Command, Program, Storage } from "./recording.ts";

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
  const lastWrite = new Map<Storage, number>();
  commands.forEach((command, index) => {
    for (const { storage } of writtenBy(command)) lastWrite.set(storage, index);
  });
  const behind = new Map<number, Command[]>();
  for (const command of appended) {
    const at = Math.max(-1, ...operandsOf(command).map(({ storage }) => lastWrite.get(storage) ?? -1));
    for (const { storage } of writtenBy(command)) lastWrite.set(storage, at);
    behind.set(at, [...(behind.get(at) ?? []), command]);
  }
  const ordered = [...(behind.get(-1) ?? []), ...commands.flatMap((command, i) => [command, ...(behind.get(i) ?? [])])];
  commands.splice(0, commands.length, ...ordered);
}
