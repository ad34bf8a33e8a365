import { platform } from "#platform";
import packageJson from "../../package.json" with { type: "json" };
import type { DType } from "../core/dtype.ts";
import { OptionError } from "../core/errors.ts";
import type { Device, Program, TuningRequest } from "../core/recording.ts";
import { tuningKey } from "../core/tuning_table.ts";
import { Executable, type Inputs } from "../run/executable.ts";

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
  /** `default`: the built-in first candidate, since the budget was spent. */
  readonly source: "measured" | "remembered" | "default";
  /** Median milliseconds by candidate; Infinity for one that does not run here. Empty unless measured. */
  readonly timesMs: Readonly<Record<string, number>>;
}

/** A candidate whose first run takes this many times as long as the fastest is not measured further. */
const hopeless = 2;

/**
 * Chooses the variants that a program takes, by measurement on the device: records it once to learn what it asks for, times the
 * candidates of every operation and class of shapes that is not known yet, and keeps the choices in `device.tuning` and in the
 * user's cache folder, by adapter, driver and package version. Record the program again to use them. With a filled cache
 * nothing is measured, and the choices are the same every time.
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
  let left = requests.filter(([key]) => !remembered.has(key)).length;
  for (const [key, request] of requests) {
    if (remembered.has(key)) {
      report.push({ key, choice: device.tuning.choose(request), source: "remembered", timesMs: {} });
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
  if (remembers && report.some(({ source }) => source !== "remembered")) await saveTuning(device);
  return report;
}

/** Takes over the choices that the user's cache folder holds for this adapter, driver and package version. */
export async function loadTuning(device: Device): Promise<void> {
  const text = await platform.readCache(cacheName(device));
  if (text !== undefined) device.tuning.load(parseChoices(text).filter(([key]) => !device.tuning.has(key)));
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

function cacheName({ info }: Device): string {
  const parts = [info.name, info.backend, info.driver, packageJson.version];
  return `tuning-${parts.map((part) => part.replace(/[^A-Za-z0-9.]+/g, "-").slice(0, 60)).join("_")}.json`;
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

async function measure(device: Device, request: TuningRequest, repeats: number, end: number): Promise<TunedChoice> {
  const { operation, shapeClass, candidates } = request;
  if (candidates.length < 2) return builtIn(request);
  const key = tuningKey(operation, shapeClass);
  const trials = await Promise.all(candidates.map((candidate) => prepare(device, request, candidate)));
  const times = new Map(candidates.map((candidate) => [candidate, [Number.POSITIVE_INFINITY]]));
  try {
    const running = trials.filter((trial) => trial !== undefined);
    for (const { candidate, run } of running) {
      await run(); // the first run also pays for pages and caches
      times.set(candidate, [await run()]);
    }
    const fastest = Math.min(...[...times.values()].flat());
    const hopeful = running.filter(({ candidate }) => median(times.get(candidate)) <= hopeless * fastest);
    // Interleaved, so that a busy moment of the machine meets all candidates.
    for (let i = 1; i < repeats && hopeful.length > 1 && performance.now() < end; i++) {
      for (const { candidate, run } of hopeful) times.get(candidate)?.push(await run());
    }
  } finally {
    for (const trial of trials) trial?.destroy();
  }
  const timesMs = Object.fromEntries([...times].map(([candidate, list]) => [candidate, median(list)]));
  const [choice = ""] = [...candidates].sort((a, b) => (timesMs[a] ?? 0) - (timesMs[b] ?? 0)); // stable: ties keep the order
  return { key, choice, source: "measured", timesMs };
}

interface Trial {
  readonly candidate: string;
  /** @returns milliseconds from submit to completion */
  readonly run: () => Promise<number>;
  readonly destroy: () => void;
}

/** Compiles one candidate; undefined if it cannot run here. */
async function prepare(device: Device, request: TuningRequest, candidate: string): Promise<Trial | undefined> {
  const program = device.program({ name: `tune ${request.operation} ${candidate}` });
  let executable: Executable;
  try {
    executable = await Executable.create(program, request.example(program, candidate));
    executable.upload(sampleInputs(program));
  } catch {
    device.throwIfLost();
    return undefined;
  }
  const run = async (): Promise<number> => {
    const start = performance.now();
    executable.submit();
    await device.idle();
    return performance.now() - start;
  };
  const destroy = (): void => {
    executable.destroy();
    program.destroyOwned();
  };
  return { candidate, run, destroy };
}

/** Values of ordinary size: times on CPUs suffer from denormal numbers, and a search from equal ones. */
function sampleInputs(program: Program): Inputs {
  return Object.fromEntries([...program.inputs].map(([name, x]) => [name, sampleValues(x.dtype, x.size)]));
}

function sampleValues(dtype: DType, count: number): ArrayLike<number> {
  if (dtype === "u32") return new Uint32Array(count);
  if (dtype === "i32") return new Int32Array(count);
  if (dtype === "u8") return new Uint8Array(count);
  const golden = 0.618034; // its multiples fill the unit interval evenly and never repeat
  return Float32Array.from({ length: count }, (_, i) => 2 * ((i * golden) % 1) - 1);
}

function median(values: readonly number[] = []): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.POSITIVE_INFINITY;
}
