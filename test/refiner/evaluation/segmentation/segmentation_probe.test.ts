import { describe, expect, it } from "vitest";
import { vitConfig } from "../../../../models/index.ts";
import { imagesInMemory } from "../../../../refiner/data/index.ts";
import {
  intersectionScores,
  segmentationBlocks,
  segmentationGrid,
  segmentationProbe,
  segmentationSchema,
} from "../../../../refiner/evaluation/index.ts";
import { ProbeHeads } from "../../../../refiner/evaluation/probes/probe_heads.ts";
import { addPixels, emptyConfusion } from "../../../../refiner/evaluation/segmentation/intersection.ts";
import { segmentationView } from "../../../../refiner/evaluation/segmentation/segmentation_encoder.ts";
import { WindowTest } from "../../../../refiner/evaluation/segmentation/window_test.ts";
import { MemoryRunStore } from "../../../../refiner/index.ts";
import { testDevice } from "../../../device.ts";
import { randomEncoder } from "../../../models/random_encoder.ts";

const device = await testDevice();
const vit = vitConfig({ patchPixels: 4, width: 8, blocks: 2, heads: 2, heightPixels: 8, widthPixels: 8, channels: 1 });

/** Images of 8 × 8 with masks from a function. */
function set(count: number, number: (image: number, pixel: number) => number) {
  const list = Array.from({ length: count }, (_, image) => ({
    width: 8,
    height: 8,
    channels: 1 as const,
    data: Uint8Array.from({ length: 64 }, (_, pixel) => (37 * pixel + 11 * image) % 256),
  }));
  return {
    images: imagesInMemory(list),
    masks: {
      length: count,
      name: (index: number) => `mask ${index}`,
      load: async (image: number) => ({
        width: 8,
        height: 8,
        data: Uint16Array.from({ length: 64 }, (_, pixel) => number(image, pixel)),
      }),
    },
  };
}

async function probe(train: ReturnType<typeof set>, test: ReturnType<typeof set>, settings: object = {}) {
  const config = segmentationSchema.parse({ batch: 2, epochs: 2, testEvery: 2, rates: [0.1], ...settings });
  const events = segmentationProbe({
    device,
    model: randomEncoder(device, vit),
    train,
    test,
    config,
    store: new MemoryRunStore(),
  });
  for (;;) {
    const next = await events.next();
    if (next.done) return next.value;
  }
}

describe("segmentationProbe", () => {
  it("refuses masks without a label, of one class, with one too large, and too few images, before it trains", {
    timeout: 60_000,
  }, async () => {
    const mixed = set(6, (_, pixel) => pixel % 2);
    const refused = (train: ReturnType<typeof set>, test: ReturnType<typeof set>, text: RegExp) =>
      expect(probe(train, test)).rejects.toThrow(text);
    await refused(
      set(6, () => 255),
      mixed,
      /no pixel of 6 masks has a label/,
    );
    await refused(
      set(6, () => 0),
      mixed,
      /all training masks have one class/,
    );
    await refused(
      mixed,
      set(2, () => 255),
      /no pixel of 2 masks has a label/,
    );
    await refused(
      mixed,
      set(2, (image) => 2 * image),
      /mask 1 holds 2 at pixel 0, 0, which is label 2 of 2 classes/,
    );
    await refused(
      set(1, (_, pixel) => pixel % 2),
      mixed,
      /leave none to train on/,
    );
    await refused(
      set(2, (_, pixel) => pixel % 2),
      mixed,
      /1 training images are less than one batch of 2/,
    );
  });

  it("fails where the one test that it makes does", { timeout: 60_000 }, async () => {
    const mixed = (count: number) => set(count, (image, pixel) => (pixel + image) % 2);
    const given = mixed(2);
    const load = async () => {
      throw new Error("the disk is gone");
    };
    await expect(probe(mixed(6), { ...given, images: { ...given.images, load } })).rejects.toThrow(/the disk is gone/);
  });

  it("gives the same numbers again, and tests the last epoch in any case", { timeout: 120_000 }, async () => {
    const [train, test] = [set(6, (image, pixel) => (pixel + image) % 3), set(2, (_, pixel) => pixel % 3)];
    const settings = { epochs: 3, select: "test" };
    const [first, second] = [await probe(train, test, settings), await probe(train, test, settings)];
    expect(second).toEqual(first);
    expect(first.scores.map(({ epoch }) => epoch)).toEqual([2, 3]);
    expect(first.chosen).toEqual(first.testMaximum);
    expect(first.test?.scores.mean).toBeCloseTo(first.chosen?.test ?? Number.NaN, 12);
    expect((await probe(train, test, { ...settings, seed: 1 })).scores).not.toEqual(first.scores);
  });
});

describe("the grid", () => {
  it("reads every fourth block from the last one, as many as there are", () => {
    const blocks = [1, 4, 5, 12, 14, 24, 32].map((count) => segmentationBlocks({ blocks: count }));
    expect(blocks).toEqual([[0], [3], [0, 4], [3, 7, 11], [1, 5, 9, 13], [11, 15, 19, 23], [19, 23, 27, 31]]);
  });

  it("has patch tokens alone where there is no class token, and refuses rates that are none", () => {
    const features = (classTokens: number) =>
      segmentationGrid({ width: 8, blocks: 5, classTokens }).features.map(({ name, columns }) => [name, ...columns]);
    expect(features(0)).toEqual([["patch", 0, 16]]);
    expect(features(1)).toEqual([
      ["patch", 16, 32],
      ["cls+patch", 0, 32],
    ]);
    for (const rates of [[], [0], [0.1, 0.1]])
      expect(() => segmentationGrid({ width: 8, blocks: 5, classTokens: 1 }, rates)).toThrow(/base rates/);
  });

  it("refuses windows with gaps between them", () => {
    expect(() => segmentationView(randomEncoder(device, vit), 8, 9)).toThrow(/stride of 9; give one of at most 8/);
    expect(segmentationView(randomEncoder(device, vit), 224).stride).toBe(170);
  });
});

it("scores an empty table with an error that says what to look at", () => {
  const table = emptyConfusion(2);
  addPixels(table, [-1, -1], [0, 1]);
  expect(() => intersectionScores(table)).toThrow(/no pixel has a label/);
  addPixels(table, [1, 1, 0], [1, 0, 0]);
  expect(intersectionScores(table)).toEqual({ mean: 0.5, micro: 0.5, perClass: [0.5, 0.5], pixelAccuracy: 2 / 3 });
});

it("an image that no head gives finite numbers for is named, one that a diverged head has none for is not", {
  timeout: 60_000,
}, async () => {
  const heads = new ProbeHeads(device, segmentationGrid(vit, [0.1, 1]), 2);
  heads.initialise(0);
  const test = new WindowTest(segmentationView(randomEncoder(device, vit)), heads);
  const given = set(2, (_, pixel) => pixel % 2);
  const diverge = (rate: number) => {
    for (const feature of [0, 1]) {
      const bias = heads.layer(feature)?.bias;
      if (bias)
        device.write(
          bias,
          Float32Array.from({ length: 4 }, (_, i) => (Math.floor(i / 2) <= rate ? Number.NaN : 0)),
        );
    }
  };
  diverge(0);
  expect(await test.tables(given, { rules: {}, maxBad: 0 })).toHaveLength(4);
  diverge(1);
  await expect(test.tables(given, { rules: {}, maxBad: 0 })).rejects.toThrow(
    /no head gives finite numbers for .*NaN or infinite/,
  );
  test.destroy();
  heads.destroy();
});
