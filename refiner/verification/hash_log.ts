import { z } from "zod";
import { CorruptFileError } from "../../engine/files/index.ts";
import type { RunStore } from "../training/run_store.ts";

/** One JSON object a line, beside `metrics.jsonl`. */
export const hashesFile = "hashes.jsonl";

const place = { stage: z.int().nonnegative(), update: z.int().nonnegative() };
const digits = z.string().regex(/^[0-9a-f]+$/);
const stateSchema = z.strictObject({
  kind: z.literal("state"),
  ...place,
  /** Completed updates of all stages. */
  updates: z.int().nonnegative(),
  /** Names of the tensors, in their order; in the line of what a stage began with. */
  names: z.array(z.string()).optional(),
  /** Of the images that the update was made with; absent in the line of what a stage began with. */
  batch: digits.optional(),
  /** Of all tensors of the state that the update left. */
  state: digits,
  /** Four digits per tensor, in the order of the names. */
  tags: z.string(),
});
const programsSchema = z.strictObject({
  kind: z.literal("programs"),
  ...place,
  programs: z.record(z.string(), digits),
});
const lineSchema = z.discriminatedUnion("kind", [stateSchema, programsSchema]);

/** What an update of a run left. */
export type StateLine = z.output<typeof stateSchema>;
/** What the updates from a place on were computed with: SHA-256 of texts and plan, by the name of the program. */
export type ProgramsLine = z.output<typeof programsSchema>;
export type HashLine = z.output<typeof lineSchema>;

/** Where a line stands. */
export type HashPlace = Pick<HashLine, "stage" | "update">;

export async function appendHash(store: RunStore, line: HashLine): Promise<void> {
  await store.appendLine(hashesFile, JSON.stringify(line));
}

/**
 * All hashes of a run, in order; undefined where it recorded none.
 *
 * @throws CorruptFileError for a line that this program does not write
 */
export async function readHashes(store: RunStore): Promise<readonly HashLine[] | undefined> {
  const text = await store.readText(hashesFile);
  if (text === undefined || text === "") return undefined;
  return linesOf(text).map((line, i) => {
    const parsed = parsedLine(line);
    if (parsed) return parsed;
    throw new CorruptFileError(
      `${store.name}/${hashesFile}: line ${i + 1} is no hash of a run; it was cut off or edited: verify what comes before it from a copy without it`,
    );
  });
}

/** The line of an update, or of what a stage began with (update 0). */
export function stateAt(lines: readonly HashLine[], at: HashPlace): StateLine | undefined {
  return lines.findLast(
    (line): line is StateLine => line.kind === "state" && line.stage === at.stage && line.update === at.update,
  );
}

/**
 * Drops the lines of what a run makes again, and those that cannot be read, such as one that a kill cut off.
 *
 * @returns the lines that stay
 */
export async function rewindHashes(store: RunStore, at: HashPlace): Promise<readonly HashLine[]> {
  const text = (await store.readText(hashesFile)) ?? "";
  const kept = linesOf(text).flatMap((line) => {
    const parsed = parsedLine(line);
    const isBefore = parsed && (parsed.stage < at.stage || (parsed.stage === at.stage && parsed.update <= at.update));
    return isBefore ? [{ line, parsed }] : [];
  });
  const left = kept.map(({ line }) => `${line}\n`).join("");
  if (left !== text) await store.writeText(hashesFile, left);
  return kept.map(({ parsed }) => parsed);
}

function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

/** A line of the file; undefined for what this program does not write. */
export function parsedLine(line: string): HashLine | undefined {
  try {
    return lineSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined; // cut off
  }
}
