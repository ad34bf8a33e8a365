import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { fingerprintOf } from "../../../cli/runs/fingerprint.ts";
import { openImages } from "../../../node.ts";
import { tarOf } from "../../refiner/data/tar_of.ts";

const folder = await realpath(await mkdtemp(join(tmpdir(), "fingerprint-")));
const before = process.cwd();

beforeAll(async () => {
  const picture = await sharp({ create: { width: 4, height: 4, channels: 3, background: "red" } })
    .png()
    .toBuffer();
  for (const name of ["train/cat/0.png", "train/dog/1.png"]) {
    await mkdir(join(folder, name, ".."), { recursive: true });
    await writeFile(join(folder, name), picture);
  }
  await mkdir(join(folder, "shards"));
  await writeFile(join(folder, "shards/0.tar"), tarOf({ "cat/0.png": picture, "dog/1.png": picture }));
  await writeFile(join(folder, "list.csv"), "path,label\ntrain/cat/0.png,cat\ntrain/dog/1.png,dog\n");
  process.chdir(folder);
});
afterAll(async () => {
  process.chdir(before);
  await rm(folder, { recursive: true });
});

it.each([
  ["train", ["train/", "./train", "train/../train//"]],
  ["shards", ["shards/", "./shards"]],
  ["shards/0.tar", ["./shards/0.tar"]],
  ["list.csv", ["./list.csv", "train/../list.csv"]],
] as const)("the fingerprint of %s is one, however its path is written", async (name, forms) => {
  const of = async (path: string) => {
    const source = await openImages(path, { workers: 0 });
    const { images } = await fingerprintOf({ images: { path, source } });
    await source.close?.();
    return images;
  };
  const stored = await of(join(folder, name)); // as a resumed run finds it
  for (const form of [name, ...forms]) expect([form, await of(form)]).toEqual([form, stored]);
  if (name === "train") {
    process.chdir("train");
    expect(await of(".")).toEqual(stored);
    process.chdir(folder);
  }
});
