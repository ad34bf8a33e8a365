import { OverLimitError } from "../core/errors.ts";
import type { VirtualStorage } from "../core/recording.ts";

/** Lifetime of one storage, in indices of commands, both ends included. */
export interface Interval {
  readonly storage: VirtualStorage;
  sizeBytes: number;
  first: number;
  last: number;
}

/** Largest sum of bytes that are alive at one command. */
export function peakOf(items: readonly Interval[], commandCount: number): number {
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

/** Chosen places and the size of each arena. */
export interface Layout {
  readonly places: Map<VirtualStorage, { arena: number; offset: number }>;
  readonly peaks: number[];
}

/** Tries several orders of placement and keeps the smallest; stops early at the lower bound. */
export function bestLayout(
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
    const fitting = [...peaks, 0].flatMap((peak, arena): Room[] => {
      if (forbidden.has(arena)) return [];
      const offset = lowestOffset(contents[arena] ?? [], item);
      const end = offset + item.sizeBytes;
      return end > maxBufferBytes ? [] : [{ arena, offset, growth: Math.max(0, end - peak) }];
    });
    const choice = leastGrowth(fitting, preferFirst);
    if (!choice) throw new OverLimitError(`plan: no arena has room for ${item.sizeBytes} bytes; use a smaller batch`);
    const { arena, offset } = choice;
    peaks[arena] = Math.max(peaks[arena] ?? 0, offset + item.sizeBytes);
    contents[arena] = [...(contents[arena] ?? []), { item, offset }];
    places.set(item.storage, { arena, offset });
  }
  return { places, peaks };
}

/** A gap of an arena, and by how much it would make the arena grow. */
interface Room {
  readonly arena: number;
  readonly offset: number;
  readonly growth: number;
}

/** The room that costs least; of equals the first, or else the one nearest to the start of its arena. */
function leastGrowth(rooms: readonly Room[], preferFirst: boolean): Room | undefined {
  const [first, ...others] = rooms;
  return others.reduce((best, room) => {
    const isNearer = !preferFirst && room.growth === best?.growth && room.offset < best.offset;
    return !best || room.growth < best.growth || isNearer ? room : best;
  }, first);
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
