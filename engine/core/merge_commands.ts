import { operandsOf, writtenBy } from "./command.ts";
import type { Command, Tensor } from "./recording.ts";

/**
 * Puts the commands of another recording into a list: behind the others, since they are needed only now, unless state tells the
 * difference. What read state before a command of the list overwrites it, or wrote it before one reads it, goes in front of that.
 */
export function mergeCommands(commands: Command[], others: readonly Command[]): void {
  let place = commands.length;
  const inFront = new Map<number, Command[]>();
  for (const other of [...others].reverse()) {
    const first = commands.findIndex((command) => command.order > other.order && meetInState(command, other));
    if (first >= 0) place = Math.min(place, first);
    inFront.set(place, [other, ...(inFront.get(place) ?? [])]);
  }
  const behind = inFront.get(commands.length) ?? [];
  if (behind.length < others.length) {
    const ordered = commands.flatMap((command, i) => [...(inFront.get(i) ?? []), command]);
    commands.splice(0, commands.length, ...ordered);
  }
  commands.push(...behind);
}

/** Whether the order of two commands matters: one writes state that the other touches. */
function meetInState(a: Command, b: Command): boolean {
  const meet = (written: readonly Tensor[], touched: readonly Tensor[]): boolean =>
    written.some((x) => x.storage.kind === "state" && touched.some((y) => overlap(x, y)));
  return meet(writtenBy(a), operandsOf(b)) || meet(writtenBy(b), operandsOf(a));
}

/** Whether two tensors share memory. */
export function overlap(a: Tensor, b: Tensor): boolean {
  if (a.storage !== b.storage) return false;
  return a.byteOffset < b.byteOffset + b.sizeBytes && b.byteOffset < a.byteOffset + a.sizeBytes;
}
