import type { TapeEntry, Tensor } from "./recording.ts";

/** Puts entries at the end of a tape, in their order, each once: the same ones may come along with several tensors. */
export function appendOnce(tape: TapeEntry[], entries: readonly TapeEntry[]): void {
  if (entries.length === 0) return;
  const known = new Set(tape);
  for (const entry of entries) {
    if (known.has(entry)) continue;
    known.add(entry);
    tape.push(entry);
  }
}

/**
 * What a tape must hold so that gradients find a way back from `x`, in order: for a part of another tensor the rule that leads to
 * the whole, for a value that was read from an eager recording what that recording states. Other tensors bring their program.
 */
export function wayBack(x: Tensor): TapeEntry[] {
  const { origin, storage } = x.base;
  if (origin) return [...origin.inputs.flatMap((whole) => (whole ? wayBack(whole) : [])), origin];
  if (storage.kind === "state" || !storage.materialized) return [];
  const needed = new Set<Tensor>([x.base]);
  const found: TapeEntry[] = [];
  for (const entry of [...storage.owner.resolve().tape].reverse()) {
    if (!needed.has(entry.y.base)) continue;
    found.push(entry);
    for (const input of entry.inputs) if (input) needed.add(input.base);
  }
  return found.reverse();
}

/** Puts an entry right behind those that it depends on: what uses its result was recorded later, and stays behind it. */
export function insertEarly(tape: TapeEntry[], entry: TapeEntry): void {
  const inputs = new Set(entry.inputs.map((x) => x?.base));
  const behind = tape.findLastIndex(({ y }) => inputs.has(y.base));
  tape.splice(behind + 1, 0, entry);
}
