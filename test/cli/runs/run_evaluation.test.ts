import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { saveEncoder, vitConfig } from "../../../models/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { run } from "../run_command.ts";
import { smallFolder, smallSettings, start, waitForUpdates } from "../small_run.ts";

const at = await smallFolder();
const device = await testDevice();
const minute = 60_000;
const side = 12;

beforeAll(async () => {
  for (let i = 0; i < 20; i++)
    for (const folder of ["few", "test"]) await picture(at(`${folder}/${i % 2}/${i}.png`), 12 * i);
});

async function picture(path: string, level: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const data = Uint8Array.from({ length: side * side }, (_, pixel) => (level + 7 * pixel) % 256);
  await sharp(data, { raw: { width: side, height: side, channels: 1 } })
    .png()
    .toFile(path);
}

const refine = (out: string, images: string, ...more: readonly string[]) =>
  refineFrom(at("weights.safetensors"), out, images, ...more);
const refineFrom = (weights: string, out: string, images: string, ...more: readonly string[]) =>
  start(...line(weights, out, images), ...more);
const line = (weights: string, out: string, images: string) => [
  ...["refine", "--weights", weights, "--images", at(images), "--out", at(out)],
  ...[...smallSettings, "--workers", "0"],
];
const refineHere = (out: string, images: string, ...more: readonly string[]) =>
  run(...line(at("weights.safetensors"), out, images), ...more);
const resume = (out: string) => run("refine", "--resume", at(out));

/** Begins a run and interrupts it after some updates. */
async function stopped({ child, ended }: ReturnType<typeof refine>, out: string): Promise<void> {
  await waitForUpdates(child, at(out), 2);
  child.kill("SIGINT");
  expect((await ended).code).toBe(130);
}

describe("a run without evaluation", () => {
  it("goes on without it", { timeout: 2 * minute }, async () => {
    const oneStage = ["--stage2-epochs", "8", "--stage3-epochs", "0"];
    await stopped(refine("unmeasured", "images-idx3-ubyte", "--no-evaluate", ...oneStage), "unmeasured");
    const { code, err } = await resume("unmeasured");
    expect([code, err.includes("k-NN")]).toEqual([0, false]);
    expect(await readFile(at("unmeasured/metrics.jsonl"), "utf8")).not.toContain('"knn"');
  });

  it("is what images without labels get, with a notice where only the held-out ones have none", {
    timeout: 2 * minute,
  }, async () => {
    const lines = Array.from({ length: 20 }, (_, i) => `few/${i % 2}/${i}.png,${i % 5 === 0 ? "" : `c${i % 2}`}`);
    await writeFile(at("partly.csv"), `path,label\n${lines.join("\n")}\n`);
    const { code, err } = await refineHere("partly", "partly.csv", "--stage2-epochs", "1", "--stage3-epochs", "0");
    expect([code, err]).toEqual([0, expect.stringContaining("none of the test images has a label, so k-NN")]);
  });
});

describe("an evaluation", () => {
  it("takes all images of a bank that holds fewer than k, and says so", { timeout: 2 * minute }, async () => {
    const { code, err } = await refineHere("small", "few", "--stage2-epochs", "1", "--stage3-epochs", "0");
    expect([code, err]).toEqual([0, expect.stringContaining("k is 16 instead of 20, since the bank holds 16 images")]);
  });

  it.each([
    ["two-stages", ["--stage2-epochs", "0", "--stage3-epochs", "8"]],
    ["one-stage", ["--stage2-epochs", "8", "--stage3-epochs", "0"]],
  ] as const)(
    "that fails at the end leaves the result, and the report without pictures: %s",
    {
      timeout: 2 * minute,
    },
    async (out, epochs) => {
      const test = at(`${out}-test`);
      for (const label of [0, 1]) await picture(`${test}/${label}/a.png`, 100 * label);
      const { child, ended } = refine(out, "images-idx3-ubyte", "--test", test, ...epochs);
      await waitForUpdates(child, at(out), 2);
      await rm(test, { recursive: true });
      const { code, err } = await ended;
      expect([code, err]).toEqual([
        0,
        expect.stringMatching(/evaluation at the end failed, and is left out: .*a\.png/),
      ]);
      expect(err).toContain("the report has no pictures");
      expect(await readFile(at(`${out}/report.html`), "utf8")).toContain("Planned device memory");
      expect((await readFile(at(`${out}/encoder.safetensors`))).length).toBeGreaterThan(1000);
    },
  );
});

describe("a resumed run", () => {
  it("refuses other test images, by name", { timeout: 2 * minute }, async () => {
    await stopped(refine("tested", "images-idx3-ubyte", "--test", at("test")), "tested");
    await picture(at("test/1/100.png"), 50);
    const { code, err } = await resume("tested");
    expect([code, err]).toEqual([2, expect.stringMatching(/the test images \(names, labels, sizes\) differ/)]);
  });

  it("finds one changed byte of large weights, wherever it is", { timeout: 3 * minute }, async () => {
    const vit = { patchPixels: 4, width: 160, blocks: 6, heads: 2, channels: 1, heightPixels: side, widthPixels: side };
    const path = at("large.safetensors");
    await writeFileAtomic(path, (sink) => saveEncoder(sink, randomEncoder(device, vitConfig(vit))));
    await stopped(refineFrom(path, "large", "images-idx3-ubyte", "--no-evaluate"), "large");
    const bytes = await readFile(path);
    const [block, blocks] = [65_536, 64];
    expect(bytes.length).toBeGreaterThan(1.2 * blocks * block);
    // Behind the 20th of the blocks that tell weights from others at once.
    const between = Math.round((20 * (bytes.length - block)) / (blocks - 1)) + block + 8;
    bytes[between] = (bytes[between] ?? 0) ^ 1;
    await writeFile(path, bytes);
    const { code, err } = await resume("large");
    expect([code, err]).toEqual([2, expect.stringMatching(/the weights \(the digest of the whole file\) differ/)]);
  });
});
