import { z } from "zod";
import type { RunStore } from "../../refiner/index.ts";
import { valueChecksum } from "../../refiner/training/lane_checksum.ts";

/** What one fine-tuning on a draw gave. */
const shotRunSchema = z.strictObject({
  shots: z.int(),
  split: z.string(),
  images: z.int(),
  batch: z.int(),
  updates: z.int(),
  /** On the test images after the last epoch. */
  accuracy: z.number(),
});
export type ShotRun = z.output<typeof shotRunSchema>;

/** A line of the file: the place of the draw among all, what it was fine-tuned with, and a checksum of the rest. */
const lineSchema = z.strictObject({ draw: z.int(), of: z.string(), run: shotRunSchema, checksum: z.string() });

const file = "finetuned.jsonl";

/** Finished fine-tunings of an evaluation, in its folder: what an interrupted one goes on from. */
export class FinishedShots {
  readonly #runs = new Map<number, ShotRun>();

  private constructor(readonly store: RunStore) {}

  /** Forgets all. */
  static async begin(store: RunStore): Promise<FinishedShots> {
    await store.remove(file);
    return new FinishedShots(store);
  }

  /**
   * Those that can be gone on from.
   *
   * @param of - per draw, what it is fine-tuned with, see `drawDigest`: other ones are made again
   * @param onDropped - called with a reason where some lines cannot be used
   */
  static async resume(
    store: RunStore,
    of: readonly string[],
    onDropped: (text: string) => void,
  ): Promise<FinishedShots> {
    const finished = new FinishedShots(store);
    const lines = linesOf(await store.readText(file));
    const parsed = lines.flatMap((text) => parsedLine(text) ?? []);
    const usable = parsed.filter(({ line }) => of[line.draw] === line.of);
    for (const { line } of usable) finished.#runs.set(line.draw, line.run);
    const damaged = lines.length - parsed.length;
    const others = parsed.length - usable.length;
    if (damaged > 0) onDropped(`${file}: ${damaged} damaged lines were dropped, and their draws are fine-tuned again`);
    if (others > 0) onDropped(`${file}: ${others} draws had other images or settings, and are fine-tuned again`);
    // Without what is dropped: a line that was cut off would swallow the next one.
    if (damaged + others > 0) await store.writeText(file, usable.map(({ text }) => `${text}\n`).join(""));
    return finished;
  }

  get size(): number {
    return this.#runs.size;
  }

  get(draw: number): ShotRun | undefined {
    return this.#runs.get(draw);
  }

  async add(draw: number, of: string, run: ShotRun): Promise<void> {
    this.#runs.set(draw, run);
    const line = { draw, of, run };
    await this.store.appendLine(file, JSON.stringify({ ...line, checksum: valueChecksum(line) }));
  }
}

/** How many fine-tunings an evaluation has behind it. */
export async function finishedShots(store: RunStore): Promise<number> {
  return linesOf(await store.readText(file)).length;
}

/** What a draw is fine-tuned with, in short. @param rows - its images */
export function drawDigest(rows: ArrayLike<number>, settings: object): string {
  return valueChecksum([Array.from(rows), settings]);
}

function linesOf(text: string | undefined): string[] {
  return (text ?? "").split("\n").filter((line) => line !== "");
}

/** A whole line, with its text. */
function parsedLine(text: string): { readonly text: string; readonly line: z.output<typeof lineSchema> } | undefined {
  try {
    const value: Readonly<Record<string, unknown>> = { ...JSON.parse(text) };
    const { checksum, ...rest } = value; // as they were read: a schema puts its keys into an order of its own
    const { data } = lineSchema.safeParse(value);
    return data && checksum === valueChecksum(rest) ? { text, line: data } : undefined;
  } catch {
    return undefined; // cut off by a kill, or damaged
  }
}
