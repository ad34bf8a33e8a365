import type { HostArray } from "../../../engine/index.ts";
import type { GoldenCase } from "../fixture.ts";
import type { Json } from "../json.ts";
import type { Training } from "./training.ts";

/**
 * A queue entry that was chosen in place of the stored one although the two are equally similar up to round-off. `main` turns
 * round-off into steps of Adam, and those into queue entries; how far the stored run's are from float64 stands in its file.
 * Where its best and second best similarity are nearer to each other than that, the entry is turned by half of that before the
 * update, and everything else must then be as stored, the choice included.
 */
export interface Tie {
  readonly update: number;
  /** Place of the head. */
  readonly head: number;
  readonly slot: number;
  /** The slot that the stored run chose. */
  readonly stored: number;
}

/** Entries to move that are not among those moved already. */
export function tiesOf(
  json: Json,
  update: number,
  names: readonly string[],
  values: Record<string, HostArray>,
  moved: readonly Tie[],
): Tie[] {
  return names.flatMap((name, head) => {
    const neighbours = json.get("steps", update, "neighbours", name);
    if (neighbours.get("gap_best_to_second").number() > entryNoise(json, name)) return [];
    const isMoved = (slot: number): boolean => moved.some((tie) => tie.head === head && tie.slot === slot);
    const chosen = values[`slots${head}`] ?? [];
    return neighbours
      .get("queue_idx")
      .numbers()
      .flatMap((stored, row): Tie[] => {
        const slot = chosen[row] ?? stored;
        return slot === stored || isMoved(slot) ? [] : [{ update, head, slot, stored }];
      });
  });
}

/** How far entries of a head's queue are from float64 at the end of the stored run; it lists the largest differences. */
export function entryNoise(json: Json, name: string): number {
  const largest = json.get("max_abs_difference_to_float64", "final_largest");
  const own = largest.get(`heads.${name}.queue.x`);
  if (own.exists) return own.number();
  return Math.min(...largest.keys().map((key) => largest.get(key).number()));
}

/** Turns the chosen entries away from the stored ones by half of the noise. */
export async function moveTied(
  golden: GoldenCase,
  training: Training,
  json: Json,
  ties: readonly Tie[],
): Promise<void> {
  const { model } = training;
  for (const { update, head, slot, stored } of ties) {
    const name = model.names[head] ?? "";
    const noise = entryNoise(json, name);
    const gap = json.get("steps", update, "neighbours", name, "gap_best_to_second");
    if (!golden.rows.some(({ tensor }) => tensor === gap.path)) golden.addError(gap.path, gap.number(), noise);
    const queue = model.heads[head]?.queue.state["queue.x"];
    if (!queue) continue;
    const entries = Float32Array.from(await queue.read());
    const width = queue.shape.at(-1) ?? 1;
    const entry = (at: number): Float32Array => entries.subarray(at * width, (at + 1) * width);
    entry(slot).set(turnedAway(entry(slot), entry(stored), noise / 2));
    golden.device.write(queue, entries);
  }
}

/** A vector of the same length in a direction that is farther from another one's by about so much (radians). */
function turnedAway(vector: Float32Array, other: Float32Array, by: number): Float32Array {
  const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
  const share = dot(vector, other) / dot(vector, vector);
  const across = other.map((value, i) => value - share * (vector[i] ?? 0));
  const factor = by * Math.sqrt(dot(vector, vector) / dot(across, across));
  return vector.map((value, i) => value - factor * (across[i] ?? 0));
}
