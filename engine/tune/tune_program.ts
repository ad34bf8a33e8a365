import { platform } from "#platform";
import packageJson from "../../package.json" with { type: "json" };
import { OptionError } from "../core/errors.ts";
import type { Device, TuningRequest } from "../core/recording.ts";
import { tuningKey } from "../core/tuning_table.ts";
import { shippedChoices } from "./known_adapters.ts";
import { prepareTrial, recordExample, submitsTogether, type Trial } from "./trial.ts";

export interface TuneOptions {
  /** Time to spend on measurements. What is left then keeps its built-in choice. Default 20 s on software adapters, 3 s on others. */
  readonly budgetMs?: number;
  /** Timed repetitions of each candidate; the medians are compared. Default 3. */
  readonly repeats?: number;
  /** Whether to read and write the table in the user's cache folder. Default true. */
  readonly remembers?: boolean;
}

/** How a choice came about. */
export interface TunedChoice {
  /** Operation and class of shapes. */
  readonly key: string;
  readonly choice: string;
  /**
   * `remembered`: from the user's cache folder; `shipped`: from the package's table of known adapters; `default`: the built-in first
   * candidate, since it is the only one, the work is tiny or the budget was spent.
   */
  readonly source: "measured" | "remembered" | "shipped" | "default";
  /** Median milliseconds by candidate; Infinity for one that does not run here. Empty unless measured. */
  readonly timesMs: Readonly<Record<string, number>>;
}

/** A candidate whose first run takes this many times as long as the fastest is not measured further. */
const hopeless = 2;

/**
 * Chooses the variants that a program takes, by measurement on the device: records it once to learn what it asks for, times the
 * candidates of every operation and class of shapes that is not known yet, and keeps the choices in `device.tuning` and in the
 * user's cache folder, by adapter, driver and package version. Record the program again to use them. With a filled cache, or on
 * an adapter whose choices the package brings, nothing is measured, and the choices are the same every time.
 *
 * @param build - records the program, without running it
 * @throws OptionError for a budget or a number of repetitions that is not positive
 */
export async function tuneProgram(
  device: Device,
  build: () => unknown,
  options: TuneOptions = {},
): Promise<TunedChoice[]> {
  const { budgetMs = device.isSoftware ? 20_000 : 3_000, repeats = 3, remembers = true } = options;
  if (!(budgetMs > 0) || !(repeats >= 1)) {
    throw new OptionError(`tuneProgram: budgetMs ${budgetMs} and repeats ${repeats} must be positive`);
  }
  if (remembers) await loadTuning(device);
  const remembered = new Set(device.tuning.entries().map(([key]) => key));
  build();
  const end = performance.now() + budgetMs;
  const report: TunedChoice[] = [];
  const requests = [...device.tuning.requests].sort(([a], [b]) => (a < b ? -1 : 1));
  const isShipped = (key: string): boolean => !remembered.has(key) && device.tuning.ships(key);
  let left = requests.filter(([key]) => !remembered.has(key) && !isShipped(key)).length;
  for (const [key, request] of requests) {
    if (remembered.has(key) || isShipped(key)) {
      const source = isShipped(key) ? "shipped" : "remembered";
      report.push({ key, choice: device.tuning.choose(request), source, timesMs: {} });
      continue;
    }
    // What is left in equal shares, so that one slow operation cannot use up the time of all behind it.
    const now = performance.now();
    const until = now + (end - now) / left--;
    const tuned = now < end ? await measure(device, request, repeats, until) : builtIn(request);
    // A choice for want of time is kept as well: later runs on this machine shall compute the same bytes.
    device.tuning.set(key, tuned.choice);
    report.push(tuned);
  }
  if (remembers && report.some(({ source }) => source === "measured" || source === "default")) await saveTuning(device);
  return report;
}

/**
 * Takes over the choices that the user's cache folder holds for this adapter, driver and package version; for what it does not
 * hold, those that the package brings for adapters of this family.
 */
export async function loadTuning(device: Device): Promise<void> {
  const text = await platform.readCache(cacheName(device));
  if (text !== undefined) device.tuning.load(parseChoices(text).filter(([key]) => !device.tuning.has(key)));
  device.tuning.ship(shippedChoices(device));
}

/** Reasons that were told already: a process tunes many programs. */
const told = new Set<string>();

/** Without a cache the choices hold for this process. */
async function saveTuning(device: Device): Promise<void> {
  const choices = device.tuning.entries();
  const text = `${JSON.stringify({ adapter: device.info, choices }, undefined, 1)}\n`;
  const reason = await platform.writeCache(cacheName(device), text);
  if (reason === undefined || told.has(reason)) return;
  told.add(reason);
  device.notice(`mimrefine: the measured choices of kernels cannot be kept for later runs (${reason})`);
}

/** The driver's text ends with its version (such as `NVIDIA: 550.90.07`), so that part is not cut as the others are. */
function cacheName({ info }: Device): string {
  const part = (text: string, longest: number): string => text.replace(/[^A-Za-z0-9.]+/g, "-").slice(-longest);
  return `tuning-${part(info.name, 60)}_${part(info.backend, 20)}_${part(info.driver, 120)}_${packageJson.version}.json`;
}

/** Choices of a cache file; none if it is damaged, for it can be measured again. */
function parseChoices(text: string): [string, string][] {
  try {
    const { choices }: { choices?: unknown } = JSON.parse(text);
    return Array.isArray(choices) ? choices.filter(isChoice) : [];
  } catch {
    return [];
  }
}

function isChoice(entry: unknown): entry is [string, string] {
  return Array.isArray(entry) && entry.length === 2 && entry.every((part) => typeof part === "string");
}

function builtIn({ operation, shapeClass, candidates }: TuningRequest): TunedChoice {
  return { key: tuningKey(operation, shapeClass), choice: candidates[0] ?? "", source: "default", timesMs: {} };
}

/** Work that takes less than its launch on any adapter: 2¹⁵ operations on 128 KiB are a microsecond of a small GPU. */
const tiny = { flops: 2 ** 15, bytes: 2 ** 17 };

function isTiny(device: Device, { example, candidates: [first = ""] }: TuningRequest): boolean {
  const recorded = recordExample(device, example, first);
  const { flops, bytesRead, bytesWritten } = recorded.stats;
  recorded.destroy();
  return flops <= tiny.flops && bytesRead + bytesWritten <= tiny.bytes;
}

async function measure(device: Device, request: TuningRequest, repeats: number, end: number): Promise<TunedChoice> {
  const { operation, shapeClass, candidates } = request;
  if (candidates.length < 2 || isTiny(device, request)) return builtIn(request);
  const key = tuningKey(operation, shapeClass);
  const trials = await Promise.all(candidates.map((candidate) => tryPreparing(device, request, candidate)));
  const times = new Map(candidates.map((candidate) => [candidate, [Number.POSITIVE_INFINITY]]));
  try {
    const running = trials.filter((trial) => trial !== undefined);
    for (const [i, { candidate, run }] of running.entries()) {
      if (i > 1 && performance.now() >= end) break; // best guesses come first; what is left counts as slower
      await run(); // the first run also pays for pages and caches
      times.set(candidate, [await run()]);
    }
    const fastest = Math.min(...[...times.values()].flat());
    const hopeful = running.filter(({ candidate }) => median(times.get(candidate)) <= hopeless * fastest);
    const together = submitsTogether(fastest);
    // Interleaved, so that a busy moment of the machine meets all candidates.
    for (let i = 1; i < repeats && hopeful.length > 1 && performance.now() < end; i++) {
      for (const { candidate, run } of hopeful) times.get(candidate)?.push(await run(together));
    }
  } finally {
    for (const trial of trials) trial?.destroy();
  }
  const timesMs = Object.fromEntries([...times].map(([candidate, list]) => [candidate, median(list)]));
  const [choice = ""] = [...candidates].sort((a, b) => (timesMs[a] ?? 0) - (timesMs[b] ?? 0)); // stable: ties keep the order
  return { key, choice, source: "measured", timesMs };
}

/** Undefined if the candidate cannot run here. @throws DeviceLostError */
async function tryPreparing(device: Device, request: TuningRequest, candidate: string): Promise<Trial | undefined> {
  try {
    return await prepareTrial(device, request, candidate);
  } catch {
    device.throwIfLost();
    return undefined;
  }
}

function median(values: readonly number[] = []): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.POSITIVE_INFINITY;
}
