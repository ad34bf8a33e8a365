import { OverLimitError } from "./errors.ts";
import type { Command } from "./program.ts";
import { alignUp, bindingAlignment, type StateStorage, type Storage, type VirtualStorage } from "./storage.ts";
import { stateOf, type Tensor } from "./tensor.ts";

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

interface Interval {
  readonly storage: VirtualStorage;
  sizeBytes: number;
  first: number;
  last: number;
}

/** Gives every virtual tensor a place by its lifetime. Pure: allocates nothing on the device. */
export function planProgram(commands: readonly Command[], outputs: readonly Tensor[], maxBufferBytes: number): Plan {
  const live = removeDead(commands, outputs);
  const { kept, aliases } = elideAssignments(live, outputs);
  const intervals = findIntervals(kept, outputs, aliases);
  const { planned, rootOf } = mergeInPlace(kept, intervals, outputs);
  const conflicts = findConflicts(planned, rootOf, aliases);
  const items = [...intervals.values()];
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
  return storage.name === "index flags";
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

function peakOf(items: readonly Interval[], commandCount: number): number {
  const change = new Float64Array(commandCount + 2);
  for (const { first, last, sizeBytes } of items) {
    change[first] = (change[first] ?? 0) + sizeBytes;
    change[last + 1] = (change[last + 1] ?? 0) - sizeBytes;
  }
  let live = 0;
  return change.reduce((peak, difference) => {
    live += difference;
    return Math.max(peak, live);
  }, 0);
}

interface Layout {
  readonly places: Map<VirtualStorage, { arena: number; offset: number }>;
  readonly peaks: number[];
}

/** Tries several orders of placement and keeps the smallest; stops early at the lower bound. */
function bestLayout(
  items: readonly Interval[],
  conflicts: ReadonlyMap<VirtualStorage, ReadonlySet<VirtualStorage>>,
  maxBufferBytes: number,
  lowerBoundBytes: number,
): Layout {
  const span = (item: Interval): number => item.last - item.first + 1;
  const orders: ((a: Interval, b: Interval) => number)[] = [
    (a, b) => b.sizeBytes - a.sizeBytes || a.first - b.first,
    (a, b) => b.sizeBytes * span(b) - a.sizeBytes * span(a) || a.first - b.first,
    (a, b) => span(b) - span(a) || b.sizeBytes - a.sizeBytes,
    (a, b) => a.first - b.first || b.sizeBytes - a.sizeBytes,
    (a, b) => b.last - a.last || b.sizeBytes - a.sizeBytes,
  ];
  let best: Layout | undefined;
  for (const order of orders) {
    for (const preferFirst of [true, false]) {
      const layout = place([...items].sort(order), conflicts, maxBufferBytes, preferFirst);
      if (!best || total(layout.peaks) < total(best.peaks)) best = layout;
      if (total(best.peaks) <= lowerBoundBytes) return best;
    }
  }
  return best ?? { places: new Map(), peaks: [] };
}

function total(peaks: readonly number[]): number {
  return peaks.reduce((sum, bytes) => sum + bytes, 0);
}

/** First-fit placement: each item goes where the arenas grow least. */
function place(
  items: readonly Interval[],
  conflicts: ReadonlyMap<VirtualStorage, ReadonlySet<VirtualStorage>>,
  maxBufferBytes: number,
  preferFirst: boolean,
): Layout {
  const peaks: number[] = [];
  const contents: { item: Interval; offset: number }[][] = [];
  const places = new Map<VirtualStorage, { arena: number; offset: number }>();
  for (const item of items) {
    if (item.sizeBytes > maxBufferBytes) {
      throw new OverLimitError(
        `plan: a tensor of ${item.sizeBytes} bytes exceeds maxBufferSize ${maxBufferBytes}; use a smaller batch`,
      );
    }
    const forbidden = new Set([...(conflicts.get(item.storage) ?? [])].map((other) => places.get(other)?.arena));
    let choice: { arena: number; offset: number; growth: number } | undefined;
    for (let arena = 0; arena <= peaks.length; arena++) {
      if (forbidden.has(arena)) continue;
      const offset = lowestOffset(contents[arena] ?? [], item);
      const end = offset + item.sizeBytes;
      if (end > maxBufferBytes) continue;
      const growth = Math.max(0, end - (peaks[arena] ?? 0));
      const isBetter =
        !choice || growth < choice.growth || (!preferFirst && growth === choice.growth && offset < choice.offset);
      if (isBetter) choice = { arena, offset, growth };
    }
    if (!choice) throw new OverLimitError(`plan: no arena has room for ${item.sizeBytes} bytes; use a smaller batch`);
    const { arena, offset } = choice;
    peaks[arena] = Math.max(peaks[arena] ?? 0, offset + item.sizeBytes);
    (contents[arena] ??= []).push({ item, offset });
    places.set(item.storage, { arena, offset });
  }
  return { places, peaks };
}

function lowestOffset(placed: readonly { item: Interval; offset: number }[], item: Interval): number {
  const overlapping = placed
    .filter(({ item: other }) => other.first <= item.last && item.first <= other.last)
    .sort((a, b) => a.offset - b.offset);
  let offset = 0;
  for (const { item: other, offset: start } of overlapping) {
    if (start - offset >= item.sizeBytes) return offset;
    offset = Math.max(offset, start + other.sizeBytes);
  }
  return offset;
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
