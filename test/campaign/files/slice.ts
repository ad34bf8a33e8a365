import { openSync, writeFileSync, writeSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { generator, mutated } from "../../engine/files/mutate.ts";
import { seedOf } from "../random.ts";
import { withOddValue } from "./odd_values.ts";
import { isTyped, type Reader, type ReaderRecipe } from "./reader.ts";
import { readers } from "./readers.ts";

/** A slice of the files of one reader, which a process of its own reads. */
export interface SliceRequest {
  readonly reader: string;
  readonly seed: number;
  readonly from: number;
  /** Behind the last one. */
  readonly to: number;
  /** An empty folder. */
  readonly folder: string;
  /** Peak of the process's memory beyond which a file is a fault. */
  readonly mostBytes: number;
}

/** A file that the product did not take as it promises. */
export interface FileFault {
  readonly index: number;
  readonly kind: string;
  readonly text: string;
}

/** What came out of a slice, or of its part up to `next`. */
export interface SliceResult {
  readonly next: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly slowestMs: number;
  readonly peakBytes: number;
  readonly faults: readonly FileFault[];
}

/** The file in work: read by the supervisor, even where this process cannot answer any more. */
export const heartbeatFile = "heartbeat";
export const resultFile = "result.json";

/** The mutated file of a number: the same for the same reader, seed and number. */
export function fileOf(
  { originals, words, isJson, repaired }: Reader,
  reader: string,
  seed: number,
  index: number,
): Uint8Array {
  const random = generator(seedOf(seed, reader, index));
  if (isJson && random(2) === 0) return withOddValue(originals[random(originals.length)] ?? new Uint8Array(0), random);
  // Half of the files have one mutation only, and so more often pass the first checks.
  const bytes = mutated(originals, random, words, 1 + random(2) * random(4));
  return repaired && random(2) === 0 ? repaired(bytes) : bytes;
}

export function recipeOf(name: string): ReaderRecipe {
  const found = readers.find((recipe) => recipe.name === name);
  if (!found)
    throw new Error(`campaign: there is no reader ${name}; choose from ${readers.map((one) => one.name).join(", ")}`);
  return found;
}

/**
 * Reads a slice and writes what came out into its folder, after each fault and at the end; stops behind a file that took too much
 * memory.
 */
export async function readSlice(request: SliceRequest): Promise<void> {
  const { reader: name, seed, from, to, folder, mostBytes } = request;
  const files = join(folder, "files");
  await mkdir(files, { recursive: true });
  const heartbeat = openSync(join(folder, heartbeatFile), "w");
  const reader = await recipeOf(name).open(files);
  const outcomes: Record<string, number> = {};
  const faults: FileFault[] = [];
  let slowestMs = 0;
  let next = from;
  const write = (): void => {
    const result: SliceResult = { next, outcomes, slowestMs, peakBytes: peakBytes(), faults };
    writeFileSync(join(folder, resultFile), JSON.stringify(result));
  };
  while (next < to && peakBytes() <= mostBytes) {
    const index = next++;
    const bytes = fileOf(reader, name, seed, index);
    writeSync(heartbeat, String(index).padStart(12), 0);
    const start = performance.now();
    const outcome = await outcomeOf(reader, bytes).catch((error: unknown) => {
      faults.push({ index, kind: "untyped error", text: textOf(error) });
      return "fault";
    });
    slowestMs = Math.max(slowestMs, performance.now() - start);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    if (peakBytes() > mostBytes)
      faults.push({ index, kind: "memory", text: `${Math.round(peakBytes() / 2 ** 20)} MiB held by the process` });
    if (faults.at(-1)?.index === index) write();
  }
  write();
}

async function outcomeOf(reader: Reader, bytes: Uint8Array): Promise<string> {
  try {
    return await reader.read(bytes);
  } catch (error) {
    if (isTyped(error)) return `refused: ${error.name}`;
    throw error;
  }
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return (error.stack ?? error.message).split("\n").slice(0, 5).join(" | ");
}

function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}
