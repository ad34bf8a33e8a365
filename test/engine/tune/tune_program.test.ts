import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Device, matmul, openDevice, Program, recordProgram, softmax } from "../../../engine/index.ts";
import { loadTuning, tuneProgram } from "../../../engine/tune/tune_program.ts";
import { recordings } from "../ops/variant_recordings.ts";

/** Devices are opened per test: a tuning table belongs to one. */
let device: Device;
let folder: string;
const cacheBefore = process.env.MIMREFINE_CACHE;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mimrefine-tuning-"));
  process.env.MIMREFINE_CACHE = folder;
  device = await openDevice({ notice: () => undefined });
});
afterEach(async () => {
  device.close();
  if (cacheBefore === undefined) delete process.env.MIMREFINE_CACHE;
  else process.env.MIMREFINE_CACHE = cacheBefore;
  await rm(folder, { recursive: true, force: true });
});

const record = (on: Device) => () =>
  recordProgram(on, (p) => ({ y: matmul(p.input("a", [40, 24]), p.input("b", [24, 33])) }));
/** Cache files of the tuner; an unpacked software driver may stand beside them. */
const tuningFiles = async (): Promise<string[]> => (await readdir(folder)).filter((file) => file.startsWith("tuning-"));
const timeLimit = { timeout: 60_000 };

describe("the tuner", () => {
  it("times every candidate and takes the fastest", timeLimit, async (context) => {
    record(device)();
    const [request] = device.tuning.requests.values();
    if ((request?.candidates.length ?? 0) < 2) context.skip(`${device.info.name}: one variant only, nothing to choose`);
    const [choice] = await tuneProgram(device, record(device));
    const times = Object.values(choice?.timesMs ?? {});
    expect(times.length).toBeGreaterThan(1);
    expect(choice?.timesMs[choice.choice]).toBe(Math.min(...times));
    expect(choice?.source).toBe("measured");
  });

  it("makes the next recording take its choice", timeLimit, async () => {
    const [first] = await tuneProgram(device, record(device));
    expect(device.tuning.entries()).toEqual([[first?.key, first?.choice]]);
  });

  it("measures nothing on a second device and makes the same choice", timeLimit, async () => {
    const [first] = await tuneProgram(device, record(device));
    const other = await openDevice({ notice: () => undefined });
    const [second] = await tuneProgram(other, record(other));
    other.close();
    expect(second).toEqual({ ...first, source: "remembered", timesMs: {} });
  });

  it("keeps the built-in choice, and keeps it for good, once the budget is spent", timeLimit, async () => {
    const [first] = await tuneProgram(device, record(device), { budgetMs: 1e-9 });
    expect(first?.source).toBe("default");
    expect((await tuneProgram(device, record(device)))[0]?.source).toBe("remembered");
  });

  it("ignores a damaged cache file", timeLimit, async () => {
    await tuneProgram(device, record(device), { budgetMs: 1e-9 });
    const [file = ""] = await tuningFiles();
    await writeFile(join(folder, file), "{");
    const other = await openDevice({ notice: () => undefined });
    await loadTuning(other);
    const { size } = new Map(other.tuning.entries());
    other.close();
    expect(size).toBe(0);
  });

  it("names the package version in the file", timeLimit, async () => {
    await tuneProgram(device, record(device));
    const [file = ""] = await tuningFiles();
    expect(file).toMatch(/^tuning-.*_\d+\.\d+\.\d+\.json$/);
    expect(JSON.parse(await readFile(join(folder, file), "utf8")).choices).toHaveLength(1);
  });

  it("leaves the cache alone when told so", timeLimit, async () => {
    await tuneProgram(device, record(device), { remembers: false });
    expect(await tuningFiles()).toEqual([]);
  });

  it("refuses a budget of nothing", timeLimit, async () => {
    await expect(tuneProgram(device, record(device), { budgetMs: 0 })).rejects.toThrow(/budgetMs 0/);
  });

  it("measures what computes in f16, too", timeLimit, async (context) => {
    if (!device.features.has("shader-f16")) context.skip(`${device.info.name}: no f16`);
    const half = () => recordProgram(device, (p) => ({ y: softmax(p.input("x", [128, 300], "f16")) }));
    const [choice] = await tuneProgram(device, half, { remembers: false });
    expect(choice?.source).toBe("measured");
    for (const ms of Object.values(choice?.timesMs ?? {})) expect(ms).toBeLessThan(Number.POSITIVE_INFINITY);
  });

  it("does not measure what is shipped for the adapter", timeLimit, async () => {
    record(device)();
    const [[key = "", request] = []] = device.tuning.requests;
    const last = request?.candidates.at(-1) ?? "";
    device.tuning.ship([[key, last]]);
    const [choice] = await tuneProgram(device, record(device));
    expect(choice).toEqual({ key, choice: last, source: "shipped", timesMs: {} });
    expect(await tuningFiles()).toEqual([]);
  });

  it("does not measure what takes no time with any variant", timeLimit, async () => {
    const small = () => recordProgram(device, (p) => ({ y: matmul(p.input("a", [8, 16]), p.input("b", [16, 8])) }));
    const [choice] = await tuneProgram(device, small, { remembers: false });
    expect(choice).toMatchObject({ source: "default", timesMs: {} });
    expect(device.tuning.has(choice?.key ?? "")).toBe(true);
  });

  it.each(Object.keys(recordings))("reaches %s", timeLimit, async (operation) => {
    const build = (): unknown => recordings[operation]?.(new Program(device));
    const choices = await tuneProgram(device, build, { remembers: false, budgetMs: 1e-9 });
    expect(choices.filter(({ key }) => key.startsWith(`${operation} `))).not.toEqual([]);
  });
});
