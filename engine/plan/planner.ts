import type { Command } from "../core/program.ts";
import {
  alignUp,
  bindingAlignment,
  indexFlagsName,
  type StateStorage,
  type Storage,
  type VirtualStorage,
} from "../core/storage.ts";
import { stateOf, type Tensor } from "../core/tensor.ts";
import { bestLayout, type Interval, type Layout, peakOf } from "./arena_layout.ts";

/** Where a virtual storage lies: in an arena buffer of the program, or inside state that it is assigned to. */
export type Placement =
  | { readonly arena: number; readonly offset: number }
  | { readonly state: StateStorage; readonly offset: number };

export interface Plan {
  /** Commands that are left after dead ones and elided copies were removed; a dispatch may use its in-place kernel. */
  readonly commands: readonly PlannedCommand[];
  readonly placements: ReadonlyMap<VirtualStorage, Placement>;
  /** Size of each arena buffer, in bytes. */
  readonly arenaBytes: readonly number[];
  /** Inputs keep their own buffer: total bytes. */
  readonly inputBytes: number;
  /** Largest sum of bytes of tensors that are alive at one command: no plan can need less. */
  readonly lowerBoundBytes: number;
  /** Storages whose memory another tensor takes after their last use. */
  readonly reused: ReadonlySet<VirtualStorage>;
}

export interface PlannedCommand {
  readonly command: Command;
  readonly inPlace: boolean;
}

export interface PlanOptions {
  readonly maxBufferBytes: number;
  /** Bytes left free behind every tensor; memory is not reused then, so that they stay free. Default 0. */
  readonly guardBytes?: number;
}

/** Gives every virtual tensor a place by its lifetime. Pure: allocates nothing on the device. */
export function planProgram(
  commands: readonly Command[],
  outputs: readonly Tensor[],
  { maxBufferBytes, guardBytes = 0 }: PlanOptions,
): Plan {
  const live = removeDead(commands, outputs);
  const { kept, aliases } = elideAssignments(live, outputs);
  const intervals = findIntervals(kept, outputs, aliases);
  const { planned, rootOf } = mergeInPlace(kept, intervals, outputs);
  const conflicts = findConflicts(planned, rootOf, aliases);
  const items = [...intervals.values()];
  if (guardBytes > 0)
    for (const item of items) {
      item.sizeBytes += guardBytes;
      item.first = 0;
      item.last = kept.length;
    }
  const lowerBoundBytes = peakOf(items, kept.length);
  const best = bestLayout(items, conflicts, maxBufferBytes, lowerBoundBytes);
  const placements = new Map<VirtualStorage, Placement>(best.places);
  for (const [storage, root] of rootOf) {
    const place = placements.get(find(rootOf, root));
    if (place) placements.set(storage, place);
  }
  for (const [storage, target] of aliases) placements.set(storage, target);
  return {
    commands: planned,
    placements,
    arenaBytes: best.peaks,
    inputBytes: inputBytesOf(kept),
    lowerBoundBytes,
    reused: findReused(items, best.places, rootOf),
  };
}

/** Virtual storages of a command, split by access. */
function accesses(command: Command, inPlace = false): { reads: Storage[]; writes: Storage[] } {
  const storage = (x: Tensor): Storage => stateOf(x) ?? x.storage;
  if (command.type === "assign") return { reads: [storage(command.source)], writes: [storage(command.target)] };
  const reads: Storage[] = [];
  const writes: Storage[] = [];
  const kernel = inPlace && command.options.inPlace ? command.options.inPlace.kernel : command.kernel;
  for (const { name, access } of kernel.bindings) {
    const operand = command.operands[name];
    if (access !== "uniform" && operand) (access === "write" ? writes : reads).push(storage(operand));
  }
  return { reads, writes };
}

function removeDead(commands: readonly Command[], outputs: readonly Tensor[]): Command[] {
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

/** Lets the producer of an assigned value write straight into the state, where nothing else touches that range meanwhile. */
function elideAssignments(commands: readonly Command[], outputs: readonly Tensor[]) {
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

function operandsOf(command: Command): Tensor[] {
  return command.type === "assign" ? [command.source, command.target] : Object.values(command.operands);
}

function findIntervals(
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

/** Joins output and operand of an in-place dispatch where the operand dies there. Joined intervals live under their root. */
function mergeInPlace(
  commands: readonly Command[],
  intervals: Map<VirtualStorage, Interval>,
  outputs: readonly Tensor[],
) {
  const rootOf = new Map<VirtualStorage, VirtualStorage>();
  const outputStorages = new Set(outputs.map((x) => x.storage));
  const planned = commands.map((command, index): PlannedCommand => {
    const option = command.type === "dispatch" ? command.options.inPlace : undefined;
    if (command.type !== "dispatch" || !option) return { command, inPlace: false };
    const output = command.operands[option.output];
    const operand = command.operands[option.operand];
    if (!output || !operand || output.storage.kind !== "virtual" || operand.storage.kind !== "virtual")
      return { command, inPlace: false };
    const a = find(rootOf, operand.storage);
    const source = intervals.get(a);
    const target = intervals.get(output.storage);
    const whole =
      operand.byteOffset === 0 && output.byteOffset === 0 && operand.storage.sizeBytes === output.storage.sizeBytes;
    const others = Object.entries(command.operands).some(
      ([name, x]) =>
        name !== option.operand &&
        name !== option.output &&
        x.storage.kind === "virtual" &&
        find(rootOf, x.storage) === a,
    );
    if (
      !source ||
      !target ||
      source === target ||
      !whole ||
      others ||
      source.last !== index ||
      target.first !== index ||
      outputStorages.has(operand.storage)
    ) {
      return { command, inPlace: false };
    }
    source.last = target.last;
    intervals.delete(output.storage);
    rootOf.set(output.storage, a);
    return { command, inPlace: true };
  });
  return { planned, rootOf };
}

function find(rootOf: ReadonlyMap<VirtualStorage, VirtualStorage>, storage: VirtualStorage): VirtualStorage {
  const parent = rootOf.get(storage);
  return parent === undefined ? storage : find(rootOf, parent);
}

/** Pairs of storages that one dispatch reads and writes; they must lie in different buffers. */
function findConflicts(
  commands: readonly PlannedCommand[],
  rootOf: ReadonlyMap<VirtualStorage, VirtualStorage>,
  aliases: ReadonlyMap<VirtualStorage, Placement>,
): Map<VirtualStorage, Set<VirtualStorage>> {
  const conflicts = new Map<VirtualStorage, Set<VirtualStorage>>();
  const placed = (list: readonly Storage[]): VirtualStorage[] =>
    list
      .filter(
        (storage): storage is VirtualStorage =>
          storage.kind === "virtual" && storage.inputName === undefined && !aliases.has(storage),
      )
      .map((storage) => find(rootOf, storage));
  const connect = (a: VirtualStorage, b: VirtualStorage): void => {
    const known = conflicts.get(a);
    if (known) known.add(b);
    else conflicts.set(a, new Set([b]));
  };
  for (const { command, inPlace } of commands) {
    const { reads, writes } = accesses(command, inPlace);
    for (const r of placed(reads)) {
      for (const w of placed(writes)) {
        connect(r, w);
        connect(w, r);
      }
    }
  }
  return conflicts;
}

function inputBytesOf(commands: readonly Command[]): number {
  const inputs = new Set<VirtualStorage>();
  for (const command of commands) {
    for (const { storage } of operandsOf(command)) {
      if (storage.kind === "virtual" && storage.inputName !== undefined) inputs.add(storage);
    }
  }
  return [...inputs].reduce((sum, storage) => sum + alignUp(storage.sizeBytes, bindingAlignment), 0);
}

function findReused(
  items: readonly Interval[],
  places: Layout["places"],
  rootOf: ReadonlyMap<VirtualStorage, VirtualStorage>,
): Set<VirtualStorage> {
  const reused = new Set(items.filter((item) => isOverwritten(item, items, places)).map((item) => item.storage));
  // A joined storage shares the fate of its root; the operand of an in-place dispatch is overwritten by the result.
  for (const storage of rootOf.keys()) if (reused.has(find(rootOf, storage))) reused.add(storage);
  for (const operand of rootOf.values()) reused.add(operand);
  return reused;
}

function isOverwritten(item: Interval, items: readonly Interval[], places: Layout["places"]): boolean {
  const here = places.get(item.storage);
  return items.some((other) => {
    const there = places.get(other.storage);
    if (!here || !there || there.arena !== here.arena || other.first <= item.last) return false;
    return there.offset < here.offset + item.sizeBytes && here.offset < there.offset + other.sizeBytes;
  });
}
