import { mkdir, readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { saveClassifier } from "../../../models/checkpoints/index.ts";
import { Classifier, vitConfig } from "../../../models/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { run } from "../run_command.ts";
import { cli, smallFolder, startProgram } from "../small_run.ts";

const at = await smallFolder();
const inputs = (images = "images-idx3-ubyte") => [
  "--weights",
  at("weights.safetensors"),
  "--images",
  at(images),
  "--workers",
  "0",
];

/** The command with all devices destroyed at some of its submits. */
function losing(submits: string, ...args: readonly string[]) {
  const preload = new URL("../lose_devices.mjs", import.meta.url);
  preload.search = new URLSearchParams({ at: submits }).toString();
  return startProgram(process.execPath, ["--import", preload.href, cli, ...args]).ended;
}

beforeAll(async () => {
  await mkdir(at("tasks/svhn"), { recursive: true });
  const lines = { train800: [0, 16], val200: [16, 20], train800val200: [0, 20], test: [20, 28] } as const;
  const pixels = await readFile(at("images-idx3-ubyte"));
  for (let i = 0; i < 28; i++) {
    const picture = sharp(pixels.subarray(16 + 144 * i, 160 + 144 * i), {
      raw: { width: 12, height: 12, channels: 1 },
    });
    await picture.png().toFile(at(`tasks/svhn/${i}.png`));
  }
  for (const [list, [from, end]] of Object.entries(lines)) {
    const images = Array.from({ length: end - from }, (_, i) => `${from + i}.png ${i % 2}\n`);
    await writeFile(at(`tasks/svhn/${list}.txt`), images.join(""));
  }
});

const short = ["--epochs", "2", "--batch", "16", "--rates", "0.1,1"];
const vtab = ["--tasks", "svhn", "--learning-rates", "0.01,0.001", "--seeds", "1", "--epochs", "4", "--batch", "8"];

describe("an evaluation whose device is lost", () => {
  it.each([
    { name: "knn", submits: "2", args: ["-k", "3"] },
    { name: "linear", submits: "14", args: [...short, "--checkpoint-minutes", "0.0000000001"] },
    { name: "transfer", submits: "6", args: [...short, "--cache"] },
    { name: "lowshot", submits: "2", args: ["--shots", "2", "--splits", "2"] },
    { name: "cluster", submits: "2", args: [] },
    { name: "robustness", submits: "3", args: ["--make", "brightness"] },
  ])("$name goes on to the same bytes", { timeout: 120_000 }, async ({ name, submits, args }) => {
    await goesOn(name, submits, [...inputs(), ...args]);
  });

  it("vtab goes on from its finished runs to the same bytes", { timeout: 120_000 }, async () => {
    const err = await goesOn("vtab", "170", [...inputs("tasks"), ...vtab]);
    expect(err).toMatch(/going on from [12] finished runs.* on a new device/);
  });

  it("embed writes the same bytes", { timeout: 120_000 }, async () => {
    const embedded = (out: string) => ["embed", ...inputs(), "--out", at(out)];
    const lost = await losing("2", ...embedded("lost.npy"));
    expect([lost.code, lost.err]).toEqual([0, expect.stringContaining("going on from the beginning on a new device")]);
    expect((await run(...embedded("straight.npy"))).code).toBe(0);
    for (const file of [".npy", ".npy.files.tsv"])
      expect(await readFile(at(`lost${file}`), "base64")).toBe(await readFile(at(`straight${file}`), "base64"));
  });

  it("predict prints each line once", { timeout: 120_000 }, async () => {
    const size = { patchPixels: 4, width: 16, blocks: 2, heads: 2, channels: 1, heightPixels: 12, widthPixels: 12 };
    const about = { classNames: ["0", "1"], pooling: "cls", pixels: 12, mean: [0.4], deviation: [0.2] } as const;
    const device = await testDevice();
    const model = new Classifier(device, vitConfig(size), about);
    await model.copyEncoder(randomEncoder(device, vitConfig(size)));
    await writeFileAtomic(at("classifier.safetensors"), (sink) => saveClassifier(sink, model));
    const predicted = ["predict", at("images-idx3-ubyte"), "--weights", at("classifier.safetensors")];
    const lost = await losing("4", ...predicted);
    expect([lost.code, lost.err]).toEqual([0, expect.stringContaining("going on from the beginning on a new device")]);
    expect(lost.out).toBe((await run(...predicted)).out);
  });

  it("attention draws the same maps", { timeout: 120_000 }, async () => {
    const drawn = (out: string) => [
      "attention",
      at("tasks/svhn"),
      "--weights",
      at("weights.safetensors"),
      "--out",
      at(out),
    ];
    const lost = await losing("5", ...drawn("maps-lost"));
    expect([lost.code, lost.err]).toEqual([0, expect.stringContaining("going on from the beginning on a new device")]);
    expect((await run(...drawn("maps"))).code).toBe(0);
    for (const file of ["27/mean.png", "27/pca.png", "0/head-1.png"])
      expect(await readFile(at(`maps-lost/${file}`), "base64")).toBe(await readFile(at(`maps/${file}`), "base64"));
  });

  it("gives up after three tries without progress", { timeout: 120_000 }, async () => {
    const { code, err } = await losing("1,2,3,4", "evaluate", "knn", ...inputs(), "-k", "3");
    expect([code, err.match(/\(try \d of 3\)/g)]).toEqual([1, ["(try 1 of 3)", "(try 2 of 3)", "(try 3 of 3)"]]);
    expect(err).toMatch(/error: .*device .* was lost .*; start again \(.*--resume\), or choose another adapter/);
  });
});

/** @returns what the evaluation that lost its device said */
async function goesOn(name: string, submits: string, args: readonly string[]): Promise<string> {
  const evaluated = (out: string) => ["evaluate", name, ...args, "--out", at(`${name}-${out}`)];
  const lost = await losing(submits, ...evaluated("lost"));
  expect([lost.code, lost.code === 0 ? "" : lost.err]).toEqual([0, ""]);
  expect(lost.err).toMatch(/was lost .*; going on from .* on a new device \(try 1 of 3\)/);
  const straight = await run(...evaluated("straight"));
  expect(straight.code).toBe(0);
  const receipt = (out: string) => readFile(at(`${name}-${out}/receipt.json`), "utf8");
  expect(await receipt("lost")).toBe(await receipt("straight"));
  expect(lost.out).toBe(straight.out);
  return lost.err;
}
