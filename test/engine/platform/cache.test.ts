import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { linear, openDevice, recordProgram, tuneProgram } from "../../../engine/index.ts";
import { readCache, writeCache } from "../../../engine/platform/cache_node.ts";

const folder = await mkdtemp(join(tmpdir(), "mimrefine-cache-"));
const at = (name: string): string => join(folder, name);
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

const places: Record<string, () => Promise<string>> = {
  "a file in the folder's place": async () => {
    await writeFile(at("file"), "x");
    return at("file");
  },
  "a file above it": async () => {
    await writeFile(at("above"), "x");
    return at("above/cache");
  },
  "a loop of links": async () => {
    await symlink("loop", at("loop"));
    return at("loop");
  },
  "a folder in the file's place": async () => {
    await mkdir(at("taken/table.json"), { recursive: true });
    return at("taken");
  },
  "a device": async () => "/dev/null",
  "no folder can be made": async () => "/proc/nothing/here",
  "a name that is too long": async () => at("n".repeat(300)),
};

describe.each(Object.keys(places))("a cache that cannot be written: %s", (name) => {
  it("is done without, says why, and nothing is left behind", async () => {
    const place = (await places[name]?.()) ?? "";
    vi.stubEnv("MIMREFINE_CACHE", place);
    expect(await readCache("table.json")).toBeUndefined();
    expect(await writeCache("table.json", "text")).toMatch(/^E[A-Z]+: /);
    expect(await readdir(place).catch(() => [])).toEqual(name === "a folder in the file's place" ? ["table.json"] : []);
  });
});

it("keeps text, whole and under its name only", async () => {
  vi.stubEnv("MIMREFINE_CACHE", at("new/cache"));
  expect(await writeCache("table.json", "text")).toBeUndefined();
  expect([await readCache("table.json"), await readdir(at("new/cache"))]).toEqual(["text", ["table.json"]]);
});

it("a pipe in the place of a cached file is not waited for", async () => {
  await mkdir(at("pipes"));
  execFileSync("mkfifo", [at("pipes/table.json")]);
  vi.stubEnv("MIMREFINE_CACHE", at("pipes"));
  expect(await readCache("table.json")).toBeUndefined();
});

it("tuning goes on without a cache and says so once", { timeout: 60_000 }, async () => {
  vi.stubEnv("MIMREFINE_CACHE", "/dev/null");
  const told: string[] = [];
  const device = await openDevice({ notice: (line) => void told.push(line) });
  const build = () => recordProgram(device, (p) => ({ y: linear(p.input("x", [64, 64]), p.input("w", [64, 64])) }));
  for (let i = 0; i < 2; i++) await tuneProgram(device, build, { budgetMs: 100, repeats: 1 });
  device.close();
  expect(told.filter((line) => line.includes("cannot be kept"))).toHaveLength(1);
});
