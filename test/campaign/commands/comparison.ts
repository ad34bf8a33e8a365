import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { finishedFile, type Training } from "./trainings.ts";

/** What a run leaves that tells the time, or what it cost, and so differs between equal runs. */
const ownTimes = new Set(["metrics.jsonl", "report.html", "report_data.json"]);

/** Files of a folder, sorted, with the folders' names in front. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1))
    .sort();
}

/**
 * How a finished run differs from the undisturbed one: files that are missing, left over or of other bytes, and lines of metrics
 * that are missing, doubled or of other values.
 */
export async function differences(training: Training, run: string, metricsCount = true): Promise<string[]> {
  const [expected, actual] = await Promise.all([training.base, run].map(filesBelow));
  const wanted = (expected ?? []).filter((file) => file !== finishedFile);
  const found = actual ?? [];
  const missing = wanted.filter((file) => !found.includes(file)).map((file) => `${file} is missing`);
  const extra = found.filter((file) => !wanted.includes(file)).map((file) => `${file} is left over`);
  const changed: string[] = [];
  for (const file of wanted.filter((name) => found.includes(name) && !ownTimes.has(name))) {
    const [before, now] = await Promise.all([training.base, run].map((folder) => readFile(join(folder, file))));
    if (before && now && !before.equals(now)) changed.push(`${file} has other bytes`);
  }
  if (metricsCount) {
    const [before, now] = await Promise.all([training.base, run].map(metricsOf));
    if (before !== now) changed.push("metrics.jsonl has other lines");
  }
  return [...missing, ...extra, ...changed];
}

/** The lines of metrics without what they tell of time and memory. */
async function metricsOf(folder: string): Promise<string> {
  const text = await readFile(join(folder, "metrics.jsonl"), "utf8").catch(() => "");
  return text.split("\n").map(withoutCosts).join("\n");
}

function withoutCosts(line: string): string {
  try {
    const costs = { imagesPerSecond: 0, waitShare: 0, deviceBytes: 0, hostBytes: 0 };
    return JSON.stringify({ ...JSON.parse(line), ...costs });
  } catch {
    return line; // the end, or no whole line
  }
}

/** Flips one bit in the middle of a file. */
export async function flipBit(file: string): Promise<void> {
  const bytes = await readFile(file);
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  await writeFile(file, bytes);
}
