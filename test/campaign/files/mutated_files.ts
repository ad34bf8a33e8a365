import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Ledger, Tally } from "../ledger.ts";
import type { CampaignOptions } from "../options.ts";
import type { ReaderRecipe } from "./reader.ts";
import { readers } from "./readers.ts";
import { fileOf, readSlice, recipeOf } from "./slice.ts";
import { type SupervisedSlice, supervised } from "./supervisor.ts";

/** Files that one process reads; starting one takes about a second. */
const sliceFiles = 1500;
/** A reader with more faults than this has one cause for many of them. */
const mostFaults = 25;

/** Mutated files of all readers, in slices, the reader that is furthest behind first. @param isOver - asked between slices */
export async function mutatedFiles(options: CampaignOptions, ledger: Ledger, isOver: () => boolean): Promise<void> {
  const { seed, folder, limitSeconds, mostBytes } = options;
  const chosen = options.readers?.map(recipeOf) ?? readers.filter(({ share }) => share > 0);
  const shares = chosen.reduce((sum, { share }) => sum + Math.max(share, 1), 0);
  const goals = new Map(
    chosen.map((recipe) => [recipe, Math.ceil((options.files * Math.max(recipe.share, 1)) / shares)]),
  );
  while (!isOver()) {
    const recipe = furthestBehind(goals, ledger);
    if (!recipe) return;
    const tally = ledger.tally(recipe.name);
    const to = Math.min(goals.get(recipe) ?? 0, tally.next + sliceFiles);
    const request = { reader: recipe.name, seed, from: tally.next, to, folder: join(folder, "slice"), mostBytes };
    take(ledger, recipe.name, await supervised(request, limitSeconds));
    await ledger.save();
  }
}

function furthestBehind(goals: ReadonlyMap<ReaderRecipe, number>, ledger: Ledger): ReaderRecipe | undefined {
  const left = [...goals].flatMap(([recipe, goal]) => {
    const { next, faults } = ledger.tally(recipe.name);
    return next < goal && faults < mostFaults ? [{ recipe, done: next / goal }] : [];
  });
  return left.sort((a, b) => a.done - b.done)[0]?.recipe;
}

function take(ledger: Ledger, reader: string, slice: SupervisedSlice): void {
  const tally: Tally = ledger.tally(reader);
  tally.tried += slice.next - tally.next;
  tally.next = slice.next;
  tally.seconds += slice.seconds;
  tally.slowestMs = Math.max(tally.slowestMs, slice.slowestMs);
  tally.peakBytes = Math.max(tally.peakBytes, slice.peakBytes);
  for (const [outcome, count] of Object.entries(slice.outcomes)) {
    tally.outcomes[outcome] = (tally.outcomes[outcome] ?? 0) + count;
    if (/^(refused|broken|older)/.test(outcome)) tally.refused += count;
    else if (outcome !== "fault") tally.good += count;
  }
  for (const { index, kind, text } of slice.faults)
    ledger.report({ part: reader, index, kind, text }, `--readers "${reader}" --only ${index}`);
}

/** Reads one file again, and keeps it beside what it led to. */
export async function repeatedFile(options: CampaignOptions, index: number): Promise<void> {
  const { seed, folder } = options;
  const name = options.readers?.[0] ?? "";
  const files = join(folder, "repeated");
  await mkdir(files, { recursive: true });
  const reader = await recipeOf(name).open(files);
  const path = join(folder, `${name.replaceAll(/\W+/g, "_")}_${index}.bin`);
  await writeFile(path, fileOf(reader, name, seed, index));
  console.log(`${name}, seed ${seed}, index ${index}: ${path}`);
  console.log(await reader.read(fileOf(reader, name, seed, index)).catch((error: unknown) => error));
}

/** Reads a slice in this process, for a supervisor. */
export async function sliceOf(request: string): Promise<void> {
  await readSlice(JSON.parse(request));
}
