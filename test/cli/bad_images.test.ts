import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { readVtabFolder } from "../../node.ts";
import { run, temporaryFolder } from "./run_command.ts";

const at = await temporaryFolder();
const weights = ["--weights", at("mae.safetensors")];
const few = "--preset small --heads last --batch 2 --stage2-epochs 1 --stage3-epochs 1".split(" ");
const minute = 60_000;

beforeAll(async () => {
  for (const folder of ["none", "one", "small", "locked"]) await mkdir(at(folder));
  await picture("one", 40);
  for (let i = 0; i < 6; i++) await picture("small", 12);
  await copyFile(new URL("../../cli/demo/mae.safetensors", import.meta.url), at("mae.safetensors"));
  await chmod(at("locked"), 0);
  await chmod(at("."), 0o755); // of the folders in it, only that one is locked
});

/** Root reads everything, so it takes the rights of nobody (65534) for that time. */
async function asOrdinaryUser<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(65534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

async function picture(folder: string, side: number): Promise<void> {
  const background = { r: 200, g: 100, b: 50 };
  const image = sharp({ create: { width: side, height: side, channels: 3, background } });
  await image.png().toFile(join(at(folder), `${crypto.randomUUID()}.png`));
}

describe.each([
  ["refine", (images: string, out: string) => ["refine", ...weights, "--images", images, "--out", out, ...few]],
  [
    "pretrain",
    (images: string, out: string) => ["pretrain", "--images", images, "--out", out, "--pixels", "16", "--batch", "2"],
  ],
] as const)("%s", (name, command) => {
  it.each([
    ["none", /holds no image/],
    ["missing", /missing cannot be read.*check the path/],
    ["one", /one image|less than one batch/],
    ["small", /smaller than the views of \d+ × \d+ px.*12 × 12.*--enlarge/],
  ])(
    "says what is wrong with %s, in one line, and leaves no run folder",
    { timeout: minute },
    async (images, reason) => {
      const out = at(`${name}-${images}`);
      const { code, err } = await run(...command(at(images), out));
      expect(code).toBe(1);
      const errors = err.split("\n").filter((line) => line.startsWith("error: "));
      expect(errors).toEqual([expect.stringMatching(reason)]);
      expect(existsSync(out)).toBe(false);
    },
  );

  it("says that a folder may not be read", { timeout: minute }, async () => {
    const { code, err } = await asOrdinaryUser(() => run(...command(at("locked"), at(`${name}-locked`))));
    expect([code, err]).toEqual([1, expect.stringMatching(/cannot be read.*permissions/)]);
  });
});

it("does not take lists that may not be looked for as missing", async () => {
  const reading = asOrdinaryUser(() => readVtabFolder(at("locked"), ["svhn"]));
  await expect(reading).rejects.toMatchObject({ code: "EACCES" });
});
