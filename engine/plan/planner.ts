import { operandsOf } from "../core/command.ts";
import type { Command, Storage, Tensor, VirtualStorage } from "../core/recording.ts";
import { alignUp, bindingAlignment } from "../core/storage.ts";
import { bestLayout, type Interval, type Layout, peakOf } from "./arena_layout.ts";
import { elideAssignments } from "./elided_assignments.ts";
import { mergeInPlace, rootStorage } from "./in_place.ts";
import { findIntervals, removeDead } from "./liveness.ts";
import { accesses, type Placement, type PlannedCommand } from "./planned_command.ts";

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
    const place = placements.get(rootStorage(rootOf, root));
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
      .map((storage) => rootStorage(rootOf, storage));
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
  for (const storage of rootOf.keys()) if (reused.has(rootStorage(rootOf, storage))) reused.add(storage);
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
