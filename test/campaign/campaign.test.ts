import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const folder = await mkdtemp(join(tmpdir(), "campaign-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

const program = fileURLToPath(new URL("run.mjs", import.meta.url));

function campaign(...args: readonly string[]) {
  const all = [program, "--work", folder, "--minutes", "5", ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, all, { encoding: "utf8" });
  return { status, out: stdout + stderr };
}

const few = ["--readers", "npy,run lock", "--kills", "1", "--losses", "1", "--disks", "0"];

describe("the campaign", () => {
  it("finds no fault in a few files, a killed run and a lost device, and goes on where it stopped", () => {
    const { status, out } = campaign(...few, "--seed", "3", "--files", "200");
    expect({ status, out }).toEqual({ status: 0, out: expect.stringMatching(/\| all \| [1-9]/) });
    for (const part of ["npy", "run lock", "kills", "lost devices"])
      expect(out).toMatch(new RegExp(`\\| ${part} \\| [1-9]`));
    const again = campaign(...few, "--seed", "3", "--files", "300");
    expect(again.out).toContain("going on after 20");
    expect(again.out).toMatch(/\| all \| 30\d/);
  });

  it("finds wrong bytes of a run", () => {
    const one = ["--files", "0", "--kills", "0", "--losses", "1", "--disks", "0"];
    const { status, out } = campaign(...one, "--seed", "4", "--plant");
    expect(status).toBe(1);
    expect(out).toMatch(/FAULT lost devices, seed 4, index 0: pretrain: .*mae.safetensors has other bytes/);
  });

  it("finds an untyped error, a file that never ends, one that takes too much memory, and a crash", () => {
    const six = [
      "--seed",
      "42",
      "--readers",
      "planted",
      "--files",
      "6",
      "--kills",
      "0",
      "--losses",
      "0",
      "--disks",
      "0",
    ];
    const { status, out } = campaign(...six, "--limit", "5", "--memory", "350");
    expect(status).toBe(1);
    for (const kind of ["untyped error: TypeError: planted", "hang: no answer for 5 s", "memory: ", "crash: "])
      expect(out).toMatch(new RegExp(`FAULT planted, seed 42, index \\d+: ${kind}`));
    expect(out).toMatch(/repeat: npm run campaign -- --seed 42 --readers "planted" --only \d+/);
  });
}, 300_000);
