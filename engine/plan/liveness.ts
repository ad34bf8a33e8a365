import type { Command, Storage, Tensor, VirtualStorage } from "../core/recording.ts";
import { alignUp, bindingAlignment, indexFlagsName, type StateStorage } from "../core/storage.ts";
import { stateOf } from "../core/tensor.ts";
import type { Interval } from "./arena_layout.ts";
import { accesses, type Placement } from "./planned_command.ts";

/** Without the commands that lead to no output and write no state. */
export function removeDead(commands: readonly Command[], outputs: readonly Tensor[]): Command[] {
  const needed = new Set<Storage>(outputs.map((x) => stateOf(x) ?? x.storage));
  const kept: Command[] = [];
  for (const command of [...commands].reverse()) {
    const { reads, writes } = accesses(command);
    if (!writes.some((storage) => (storage.kind === "state" ? !isFlags(storage) : needed.has(storage)))) continue;
    for (const storage of [...reads, ...writes]) needed.add(storage);
    kept.push(command);
  }
  return kept.reverse();
}

function isFlags(storage: StateStorage): boolean {
  return storage.name === indexFlagsName;
}

/** From the first to the last use of every storage that needs a place; outputs live to the end. */
export function findIntervals(
  commands: readonly Command[],
  outputs: readonly Tensor[],
  aliases: ReadonlyMap<VirtualStorage, Placement>,
) {
  const intervals = new Map<VirtualStorage, Interval>();
  commands.forEach((command, index) => {
    const { reads, writes } = accesses(command);
    for (const storage of [...reads, ...writes]) {
      if (storage.kind !== "virtual" || storage.inputName !== undefined || aliases.has(storage)) continue;
      const known = intervals.get(storage);
      if (known) known.last = index;
      else
        intervals.set(storage, {
          storage,
          sizeBytes: alignUp(storage.sizeBytes, bindingAlignment),
          first: index,
          last: index,
        });
    }
  });
  for (const { storage } of outputs) {
    const known = storage.kind === "virtual" ? intervals.get(storage) : undefined;
    if (known) known.last = commands.length;
  }
  return intervals;
}
