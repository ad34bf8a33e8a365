import { operandsOf } from "../core/command.ts";
import type { Command, Storage, Tensor, VirtualStorage } from "../core/recording.ts";
import { alignUp, type StateStorage } from "../core/storage.ts";
import { stateOf } from "../core/tensor.ts";
import { accesses, type Placement } from "./planned_command.ts";

/** Lets the producer of an assigned value write straight into the state, where nothing else touches that range meanwhile. */
export function elideAssignments(commands: readonly Command[], outputs: readonly Tensor[]) {
  const aliases = new Map<VirtualStorage, Placement>();
  const kept: Command[] = [];
  const outputStorages = new Set(outputs.map((x) => x.storage));
  commands.forEach((command, index) => {
    if (
      command.type !== "assign" ||
      !canElide(commands, command.source, command.target, index, aliases, outputStorages)
    ) {
      kept.push(command);
      return;
    }
    const { source, target } = command;
    if (source.storage.kind === "virtual" && target.storage.kind === "state") {
      aliases.set(source.storage, { state: target.storage, offset: target.byteOffset });
    }
  });
  return { kept, aliases };
}

function canElide(
  commands: readonly Command[],
  source: Tensor,
  target: Tensor,
  at: number,
  aliases: ReadonlyMap<VirtualStorage, Placement>,
  outputs: ReadonlySet<Storage>,
): boolean {
  const storage = source.storage;
  if (storage.kind !== "virtual" || stateOf(source) || storage.inputName !== undefined || aliases.has(storage))
    return false;
  if (outputs.has(storage) || source.byteOffset !== 0 || storage.sizeBytes !== alignUp(target.sizeBytes, 4))
    return false;
  const born = commands.findIndex((command) => accesses(command).writes.includes(storage));
  const from = target.byteOffset;
  const to = from + target.sizeBytes;
  return commands.every((command, index) => {
    if (index === at || index < born) return true;
    const { reads, writes } = accesses(command);
    const touchesSource = reads.includes(storage) || writes.includes(storage);
    const touchesTarget = operandsOf(command).some(
      (x) => stateOf(x) === target.storage && x.byteOffset < to && x.byteOffset + x.sizeBytes > from,
    );
    if (index < at && touchesTarget) return false;
    if (index > at) return !touchesSource;
    // One buffer may not be bound for reading and for writing in one dispatch.
    const readsBuffer = reads.some((x) => x === target.storage || placedIn(x, aliases) === target.storage);
    const writesBuffer = writes.some((x) => x === target.storage || placedIn(x, aliases) === target.storage);
    if (reads.includes(storage)) return !writesBuffer;
    return writes.includes(storage) ? !readsBuffer : true;
  });
}

function placedIn(storage: Storage, aliases: ReadonlyMap<VirtualStorage, Placement>): StateStorage | undefined {
  const place = storage.kind === "virtual" ? aliases.get(storage) : undefined;
  return place && "state" in place ? place.state : undefined;
}
