import { mkdir, readFile, writeFile } from "node:fs/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { evaluationLineSchema, type Receipt, receiptSchema } from "../../../cli/evaluation/evaluation_line.ts";
import { reportOf } from "../../../cli/evaluation/evaluation_report.ts";
import {
  type Measurement,
  namesOfEncoders,
  publishedLines,
  publishedOfClassifier,
  publishedPart,
} from "../../../cli/evaluation/published_part.ts";
import { writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { saveEncoder, vitConfig } from "../../../models/index.ts";
import type { ImageSource } from "../../../refiner/data/index.ts";
import { finetuneConfig } from "../../../refiner/index.ts";
import { evaluationPage } from "../../../refiner/report/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { pictureSide, writePictures } from "../class_pictures.ts";
import { run, temporaryFolder } from "../run_command.ts";
import { start } from "../small_run.ts";

const device = await testDevice();
const at = await temporaryFolder();
const vit = vitConfig({
  ...{ patchPixels: 4, width: 16, blocks: 2, heads: 2, channels: 1 },
  ...{ heightPixels: pictureSide, widthPixels: pictureSide },
});

beforeAll(async () => {
  await writePictures(at, "train", { count: 6, from: 0 });
  await writePictures(at, "test", { count: 3, from: 6 });
  await writeFileAtomic(at("encoder.safetensors"), (sink) => saveEncoder(sink, randomEncoder(device, vit, 1)));
});

const classNames = ["n01440764", ...Array.from({ length: 998 }, (_, i) => `n0${2_000_000 + i}`), "n15075141"];

/** Images that are never loaded. */
function imagesOf(length: number): ImageSource {
  return {
    ...{ length, channels: 3, classNames },
    label: (index) => index % classNames.length,
    name: (index) => `${index}.jpg`,
    load: () => Promise.reject(new Error("not to be loaded")),
  };
}

const config = vitConfig("l16");
const settings = { k: 10, temperature: 0.07, standardise: true, pool: "cls", block: 23, imageSize: "its own" };
const knn: Measurement = {
  ...{ protocol: "knn", settings, scores: [{ name: "accuracy" }], config },
  ...{ train: imagesOf(2000), test: imagesOf(1000), isHeldOut: false },
};

function receipt(weights: string, value: number, published: Receipt["published"]): Receipt {
  const images = { path: "/images", images: 1000, digest: {}, pixels: { images: 1, sha256: "0" } };
  return receiptSchema.parse({
    ...{ format: 1, version: "0.2.0", protocol: "knn", settings, seed: 0 },
    encoder: { weights, digest: { contents: "1" }, options: {} },
    ...{ train: images, test: images },
    adapter: { name: "a", type: "software", backend: "vulkan", driver: "d" },
    selection: { on: "nothing", text: "nothing was chosen" },
    scores: [{ name: "accuracy", value, standardError: 0.01, images: 1000 }],
    ...(published ? { published } : {}),
  });
}

describe("published figures of a receipt", () => {
  it("stand in the unit of the score, with what is not as published", () => {
    const part = publishedPart(knn, "auto");
    expect(part).toMatchObject({ dataSet: "imagenet", shape: "L/16", source: "MIM-Refiner, arXiv 2402.10093" });
    expect(part?.figures).toContainEqual({
      ...{ score: "accuracy", measure: "accuracy", encoder: "MAE", refined: true, unit: "share", value: 0.815 },
    });
    expect(part?.differences).toEqual([
      "training images 2000 (published 1281167)",
      "test images 1000 (published 50000)",
    ]);
    expect(publishedPart(knn, "none")).toBeUndefined();
    expect(publishedPart(knn, "inat18")?.reason).toBe("1,000 classes, iNat18 has 8,142: no figures are shown");
  });

  it("are printed below the user's numbers, as is the reason for none", () => {
    const [before, after] = ["/runs/a/encoder.safetensors", "/runs/b/encoder.safetensors"].map((weights, i) =>
      receipt(weights, 0.5 + i / 8, publishedPart(knn, "auto")),
    );
    if (!before || !after) throw new Error("two receipts");
    const lines = publishedLines([before, after]);
    expect(lines.slice(0, 5)).toEqual([
      "MIM-Refiner, arXiv 2402.10093: ImageNet-1K with ViT-L/16, per cent",
      "\taccuracy",
      "a/encoder.safetensors\t50.00",
      "b/encoder.safetensors\t62.50",
      "MAE\t60.6",
    ]);
    expect(lines).toContain("D2V2, refined\t81.0");
    expect(lines.at(-1)).toMatch(/^not as published: training images 2000 \(published 1281167\); test images/);
    const refused = receipt("x.safetensors", 0.5, publishedPart(knn, "ade20k"));
    expect(publishedLines([refused])).toEqual([
      "published figures (MIM-Refiner, arXiv 2402.10093): a class per image, ADE20K has a class per pixel: no figures are shown",
    ]);
    expect(publishedLines([receipt("x.safetensors", 0.5, undefined)])).toEqual([]);
  });

  it("stand in the page right after the scores, in cells like all others", () => {
    const one = receipt("/runs/x.safetensors", 0.9, publishedPart(knn, "auto"));
    const html = evaluationPage([reportOf([one], [])]);
    const sections = [...html.matchAll(/<section id="([^"]+)"/g)].map(([, id]) => id);
    expect(sections).toEqual(["scores", "published", "encoders", "protocol"]);
    expect(html).toContain('<tr><th scope="row">x.safetensors</th><td>90.00</td></tr>');
    expect(html).toContain('<tr><th scope="row">MAE, refined</th><td>81.5</td></tr>');
    expect(html).toContain("not as published: training images 2000 (published 1281167)");
    const none = evaluationPage([reportOf([receipt("/runs/x.safetensors", 0.9, undefined)], [])]);
    expect(none).not.toContain("Published figures");
  });

  it("keep silhouettes as shares and Davies–Bouldin as it is", () => {
    const scores = ["accuracy", "silhouette, classes", "Davies–Bouldin, classes"].map((name) => ({ name }));
    const part = publishedPart({ ...knn, protocol: "cluster", scores }, "auto");
    const refined = part?.figures.filter(({ encoder, refined: is }) => is && encoder === "D2V2");
    expect(refined?.map(({ value, unit }) => [value, unit])).toEqual([
      [0.674, "share"],
      [0.371, "share"],
      [2.2, "number"],
    ]);
  });

  it("of a fine-tuned classifier are those of the same data set, with the recipe's differences", () => {
    const images = { train: imagesOf(2000), test: imagesOf(1000), placedTest: { path: "test", source: imagesOf(1) } };
    const tests = [{ epoch: 10, accuracy: 0.8, images: 1000 }];
    const trained = { config: finetuneConfig({ epochs: 10 }), images, encoder: config };
    const { tables, result } = publishedOfClassifier({ finished: true, tests }, trained, "auto");
    expect(tables[0]?.rows.slice(0, 3)).toEqual([
      ["this classifier", "80.00"],
      ["MAE", "85.7"],
      ["MAE, refined", "85.6"],
    ]);
    expect(result.published?.differences[0]).toBe("epochs 10 (published 50)");
    expect(publishedOfClassifier({ finished: false, tests }, trained, "auto")).toEqual({ tables: [], result: {} });
    const earlier = tests.map((test) => ({ ...test, epoch: 9 })); // the last test failed, and was left out
    expect(publishedOfClassifier({ finished: true, tests: earlier }, trained, "auto")).toEqual({
      tables: [],
      result: {},
    });
  });

  it("name encoders by as much of their paths as tells them apart", () => {
    const of = (...paths: readonly string[]) => namesOfEncoders(paths.map((path) => receipt(path, 0.5, undefined)));
    expect(of("/a/x/encoder.safetensors")).toEqual(["encoder.safetensors"]);
    expect(of("/a/x/e.safetensors", "/a/y/f.safetensors")).toEqual(["e.safetensors", "f.safetensors"]);
    expect(of("/a/x/e.safetensors", "/b/x/e.safetensors")).toEqual(["a/x/e.safetensors", "b/x/e.safetensors"]);
    expect(of("/a/e.safetensors", "/a/e.safetensors")).toEqual(["e.safetensors", "e.safetensors"]);
  });
});

describe("--data-set", () => {
  const evaluate = (...more: readonly string[]) =>
    start(
      ...["evaluate", "knn", "--weights", at("encoder.safetensors"), "--images", at("train"), "--test", at("test")],
      ...["-k", "3", "--workers", "0", ...more],
    ).ended;

  it("says why small images get no figures of ImageNet-1K, and --json, too", { timeout: 120_000 }, async () => {
    const text = "3 classes, ImageNet-1K has 1,000: no figures are shown";
    const told = await evaluate("--data-set", "imagenet", "--out", at("run"));
    expect([told.code, told.out]).toEqual([0, expect.stringContaining(text)]);
    expect(await readFile(at("run/report.html"), "utf8")).toContain(text);
    const stated = receiptSchema.parse(JSON.parse(await readFile(at("run/receipt.json"), "utf8")));
    expect(stated.published).toMatchObject({ dataSet: "imagenet", figures: [], reason: text });
    const json = await evaluate("--data-set", "imagenet", "--json");
    expect(evaluationLineSchema.parse(JSON.parse(json.out)).receipt.published).toEqual(stated.published);
  });

  it("is silent where no data set of the paper is recognised", { timeout: 120_000 }, async () => {
    const { code, out } = await evaluate("--json");
    expect([code, evaluationLineSchema.parse(JSON.parse(out)).receipt.published]).toEqual([0, undefined]);
    const wrong = await evaluate("--data-set", "cifar");
    expect([wrong.code, wrong.err]).toEqual([
      2,
      expect.stringContaining("auto, imagenet, inat18, ade20k, vtab1k, none"),
    ]);
  });

  it("is not compared, so that receipts with and without figures stand side by side", async () => {
    const published = publishedPart(knn, "auto");
    for (const [name, part] of [
      ["with", published],
      ["without", undefined],
    ] as const) {
      await mkdir(at(name), { recursive: true });
      await writeFile(at(`${name}/receipt.json`), JSON.stringify(receipt(`/${name}.safetensors`, 0.5, part)));
    }
    const { code, out } = await run("evaluate", "compare", at("with"), at("without"));
    expect([code, out]).toEqual([0, expect.stringContaining("with.safetensors\t50.00\nMAE\t60.6")]);
  });
});
