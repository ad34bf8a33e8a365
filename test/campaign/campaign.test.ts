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
  const all = [program, "--work", folder, "--minutes", "2", ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, all, { encoding: "utf8" });
  return { status, out: stdout + stderr };
}

const fast = "npy,safetensors,csv list,run lock";
const without = { files: ["--files", "0"], commands: ["--kills", "0", "--losses", "0", "--disks", "0"] };

describe("the campaign", () => {
  it("finds no fault in a few files, a killed run and a lost device, and goes on where it stopped", () => {
    const some = ["--seed", "3", "--readers", fast, "--kills", "1", "--losses", "1", "--disks", "0"];
    const { status, out } = campaign(...some, "--files", "200");
    expect({ status, out }).toEqual({ status: 0, out: expect.stringMatching(/\| all \| [1-9]/) });
    for (const part of ["npy", "run lock", "kills", "lost devices"])
      expect(out).toMatch(new RegExp(`\\| ${part} \\| [1-9]`));
    const again = campaign(...some, "--files", "240");
    expect(again.out).toContain("going on after 20");
    expect(again.out).toMatch(/\| all \| 24\d/);
  });

  it("finds wrong bytes of a killed run and of one that lost its device", () => {
    const { status, out } = campaign(
      ...without.files,
      "--seed",
      "4",
      "--kills",
      "1",
      "--losses",
      "1",
      "--disks",
      "0",
      "--plant",
    );
    expect(status).toBe(1);
    for (const part of ["kills", "lost devices"])
      expect(out).toMatch(new RegExp(`FAULT ${part}, seed 4, index 0: refine: .*encoder.safetensors has other bytes`));
  });

  it("finds an untyped error, a file that never ends, one that takes too much memory, and a crash", () => {
    const limits = ["--limit", "2", "--memory", "500"];
    const { status, out } = campaign(
      ...without.commands,
      "--seed",
      "5",
      "--readers",
      "planted",
      "--files",
      "24",
      ...limits,
    );
    expect(status).toBe(1);
    for (const kind of ["untyped error: TypeError: planted", "hang: no answer for 2 s", "memory: ", "crash: "])
      expect(out).toMatch(new RegExp(`FAULT planted, seed 5, index \\d+: ${kind}`));
    expect(out).toMatch(/repeat: npm run campaign -- --seed 5 --readers "planted" --only \d+/);
  });
}, 120_000);
