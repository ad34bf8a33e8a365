import { spawnSync } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { hostUniform } from "../../../engine/index.ts";
import { writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { saveEncoder } from "../../../models/checkpoints/index.ts";
import { vitConfig } from "../../../models/index.ts";
import { encodePng, readPngIndices } from "../../../refiner/data/index.ts";
import { evaluationDataSchema } from "../../../refiner/report/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { publishedNames } from "../published_names.ts";
import { run, temporaryFolder } from "../run_command.ts";
import { start, waitForUpdates } from "../small_run.ts";

const device = await testDevice();
const at = await temporaryFolder();
const vit = vitConfig({ patchPixels: 4, width: 16, blocks: 5, heads: 2, heightPixels: 16, widthPixels: 16 });
/** Numbers of the masks: 0 is not labelled, 1 background, 2 a bright square, 3 a dark one. */
const numbers = [1, 2, 3] as const;

/** Squares of two kinds over noise, with 0 along the left edge of the mask. */
async function compose(folder: string, index: number, size: { width: number; height: number }): Promise<void> {
  const { width, height } = size;
  const draws = hostUniform(4 + width * height, { seed: index, purpose: folder });
  const mask = new Uint8Array(width * height).fill(1);
  for (const [kind, number] of [2, 3].entries()) {
    const [left, top] = [kind * 12 + 1 + 2 * (draws[kind] ?? 0), 1 + (height - 12) * (draws[2 + kind] ?? 0)];
    for (let y = 0; y < 10; y++)
      mask.fill(
        number,
        Math.floor(top + y) * width + Math.floor(left),
        Math.floor(top + y) * width + Math.floor(left) + 9,
      );
  }
  for (let y = 0; y < height; y++) mask[y * width] = 0;
  const grey = Uint8Array.from(mask, (number, i) => ([120, 120, 230, 0][number] ?? 0) + 20 * (draws[4 + i] ?? 0));
  const data = Uint8Array.from({ length: 3 * grey.length }, (_, i) => grey[Math.floor(i / 3)] ?? 0);
  const name = `${String(index).padStart(3, "0")}.png`;
  await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(at(`${folder}/${name}`));
  const colours = Uint8Array.from({ length: 768 }, (_, i) => 255 - (i % 251)); // colours say nothing of the numbers
  await writeFile(
    at(`${folder}-masks/${name}`),
    await encodePng(width, height, { kind: "palette", data: mask, colours }),
  );
}

beforeAll(async () => {
  for (const folder of ["train", "train-masks", "test", "test-masks"]) await mkdir(at(folder));
  for (let i = 0; i < 24; i++) await compose("train", i, { width: 26 + (i % 3), height: 24 });
  for (let i = 0; i < 5; i++) await compose("test", i, { width: 25 + i, height: 20 + 3 * i });
  await writeFileAtomic(at("encoder.safetensors"), (sink) => saveEncoder(sink, randomEncoder(device, vit)));
});

const segment = (...more: readonly string[]) => [
  ...["evaluate", "segment", "--weights", at("encoder.safetensors"), "--workers", "0"],
  ...["--images", at("train"), "--masks", at("train-masks"), "--test", at("test"), "--test-masks", at("test-masks")],
  ...["--label-offset", "-1", "--batch", "4", "--epochs", "12", "--test-every", "6", "--rates", "0.5,5,50"],
  ...more,
];
const ended = (...args: readonly string[]) => start(...args).ended;

describe("evaluate segment", () => {
  it("learns squares over noise, and leaves masks, overlays and a row per class", { timeout: 400_000 }, async () => {
    const files = [
      "--predicted-masks",
      at("out/masks"),
      "--overlays",
      at("out/seen"),
      "--per-class",
      at("classes.csv"),
    ];
    const { code, out, err } = await ended(...segment("--json", "--out", at("run"), ...files));
    expect([code, err]).toEqual([0, expect.not.stringContaining("error:")]);
    const { receipt, details } = JSON.parse(out);
    expect(receipt.scores[0].name).toBe("mean IoU");
    expect(receipt.scores[0].value).toBeGreaterThan(0.4); // chance: below 0.25, the share of the background by three
    expect(receipt.selection.on).toBe("held-out training images");
    expect(details).toMatchObject({ classes: 3, blocks: [0, 4], heads: 6, images: { train: 22, heldOut: 2, test: 5 } });
    expect(JSON.parse(await readFile(at("run/receipt.json"), "utf8"))).toEqual(receipt);
    expect(Object.keys(receipt.settings)).toEqual(expect.arrayContaining(publishedNames("segment")));

    // The score again from the files, with the numbers of the given masks.
    const names = (await readdir(at("test"))).sort();
    expect((await readdir(at("out/masks"))).sort()).toEqual(names);
    const pixels: { readonly number: number; readonly said: number }[] = [];
    for (const name of names) {
      const read = async (folder: string) =>
        readPngIndices(Uint8Array.from(await readFile(at(`${folder}/${name}`))), name);
      const [theirs, ours] = [await read("test-masks"), await read("out/masks")];
      expect([ours.width, ours.height]).toEqual([theirs.width, theirs.height]);
      theirs.data.forEach((number, pixel) => {
        pixels.push({ number, said: ours.data[pixel] ?? 0 });
      });
    }
    expect(pixels.filter(({ said }) => said < 1 || said > 3)).toEqual([]);
    const stated = pixels.filter(({ number }) => number > 0);
    const counts = numbers.map((one) => ({
      labelled: stated.filter(({ number }) => number === one).length,
      predicted: stated.filter(({ said }) => said === one).length,
      right: stated.filter(({ number, said }) => number === one && said === one).length,
    }));
    const shares = counts.map(({ right, labelled, predicted }) => right / (labelled + predicted - right));
    expect(details.perClass).toEqual(shares);
    expect(receipt.scores[0].value).toBeCloseTo(shares.reduce((sum, share) => sum + share, 0) / 3, 12);
    const csv = (await readFile(at("classes.csv"), "utf8")).trimEnd().split("\n");
    expect(csv[0]).toBe("class,stored,iou,labelled,predicted,right");
    expect(csv.slice(1)).toEqual(
      counts.map(({ right, labelled, predicted }, c) => [c, c + 1, shares[c], labelled, predicted, right].join(",")),
    );
    const { width, height, channels } = await sharp(at(`out/seen/${names[4]}`)).metadata();
    expect([width, height, channels]).toEqual([29, 32, 3]);

    // The page: five overlays of predictions and truths, and a row per class.
    const shown = evaluationDataSchema.parse(JSON.parse(await readFile(at("run/evaluation_data.json"), "utf8")));
    expect(shown.overlays.map(({ image }) => image.label)).toEqual(names);
    expect(shown.classes.map(({ stored, iou, labelled }) => [stored, iou, labelled])).toEqual(
      counts.map(({ labelled }, c) => [c + 1, shares[c], labelled]),
    );
    const html = await readFile(at("run/report.html"), "utf8");
    expect(html.match(/<img /g)).toHaveLength(15);
    for (const { colour } of shown.classes) expect(html).toContain(colour);
    const [{ truth, image }] = shown.overlays as [(typeof shown.overlays)[number]];
    const raw = async (src: string) =>
      sharp(Buffer.from(src.split(",")[1] ?? "", "base64"))
        .removeAlpha()
        .toColourspace("srgb")
        .raw()
        .toBuffer();
    const [over, plain] = [await raw(truth.src), await raw(image.src)];
    const mask = await readPngIndices(Uint8Array.from(await readFile(at(`test-masks/${names[0]}`))), names[0] ?? "");
    const wrong = Array.from(over).filter((value, i) => {
      const number = mask.data[Math.floor(i / 3)] ?? 0;
      const colour = number === 0 ? "#000000" : (shown.classes[number - 1]?.colour ?? "");
      const channel = Number.parseInt(colour.slice(1 + 2 * (i % 3), 3 + 2 * (i % 3)), 16);
      return value !== ((plain[i] ?? 0) + channel) >> 1;
    });
    expect(wrong).toEqual([]);

    // A palette that Pillow reads as the same numbers.
    const script = `from PIL import Image; im = Image.open(${JSON.stringify(at(`out/masks/${names[0]}`))}); print(im.mode, sorted(set(im.getdata())))`;
    const python = spawnSync("/usr/bin/python3", ["-c", script], { encoding: "utf8" });
    if (python.status === 0) expect(python.stdout).toMatch(/^P \[[123, ]+\]/);
  });

  it("shows what both encoders say of an image, and writes masks of the first", { timeout: 400_000 }, async () => {
    await writeFileAtomic(at("other.safetensors"), (sink) => saveEncoder(sink, randomEncoder(device, vit, 2)));
    const short = ["--epochs", "1", "--test-every", "1", "--rates", "0.5", "--data-set", "ade20k"];
    const more = ["--compare", at("other.safetensors"), "--out", at("both"), "--predicted-masks", at("both-masks")];
    const { code, out, err } = await ended(...segment(...short, ...more));
    expect([code, err]).toEqual([0, expect.not.stringContaining("error:")]);
    expect(out).toContain("3 classes, ADE20K has 150: no figures are shown");
    const names = (await readdir(at("test"))).sort();
    expect((await readdir(at("both-masks"))).sort()).toEqual(names);
    const html = await readFile(at("both/report.html"), "utf8");
    expect(html.match(/<img /g)).toHaveLength(20);
    const predicted = await Promise.all(
      ["both", "both/compared"].map(async (folder) => {
        const text = await readFile(at(`${folder}/evaluation_data.json`), "utf8");
        return evaluationDataSchema.parse(JSON.parse(text)).overlays.map(({ predicted: { src } }) => src);
      }),
    );
    expect(predicted[0]).not.toEqual(predicted[1]);
    for (const [i, sources] of predicted.entries()) {
      const by = i === 0 ? "encoder.safetensors" : "other.safetensors";
      for (const [image, src] of sources.entries())
        expect(html).toContain(`src="${src}" alt="Predicted classes of ${names[image]} by ${by}"`);
    }
  });

  it("goes on after a kill with the same receipt", { timeout: 400_000 }, async () => {
    const { child, ended: killed } = start(...segment("--out", at("killed"), "--checkpoint-minutes", "0.0000000001"));
    await waitForUpdates(child, at("killed"), 20);
    child.kill("SIGKILL");
    await killed;
    const { code, err } = await ended("evaluate", "segment", "--resume", at("killed"));
    expect([code, err]).toEqual([0, expect.not.stringContaining("error:")]);
    for (const file of ["receipt.json", "head.safetensors"])
      expect(await readFile(at(`killed/${file}`))).toEqual(await readFile(at(`run/${file}`)));
  });

  it("names what does not fit: sizes, labels, folders, options", { timeout: 200_000 }, async () => {
    const refused = async (args: readonly string[], status: number, text: RegExp) => {
      const { code, err } = await run(...args);
      expect(err).toMatch(text);
      expect(code).toBe(status);
    };
    await refused(
      segment("--classes", "2"),
      1,
      /train-masks.000\.png holds 3 at pixel .*, which is label 2 of 2 classes/,
    );
    await refused(
      segment("--predicted-masks", at("test-masks")),
      2,
      /would be written for --predicted-masks, and is --test-masks/,
    );
    await refused(segment("--predictions", at("x.csv")), 2, /use --predicted-masks, --overlays and --per-class/);
    await refused(
      segment().filter((arg) => arg !== "--test" && arg !== at("test")),
      2,
      /belong together/,
    );
  });
});
