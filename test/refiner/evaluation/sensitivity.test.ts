import { beforeAll, describe, expect, it } from "vitest";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../../models/index.ts";
import { type ImageSource, imagesInMemory, type RgbImage } from "../../../refiner/data/index.ts";
import {
  type BlockFeatures,
  clusterAgreement,
  clusterSensitivity,
  type EncodedSides,
  encodeFeatures,
  encodeSides,
  encodingOfChanges,
  type FeatureChoice,
  type FeatureMatrix,
  featureChanges,
  featuresOf,
  fitLogisticRegression,
  kMeans,
  knnAccuracy,
  knnOfFeatures,
  knnSensitivity,
  lowShot,
  lowShotSensitivity,
  probeSensitivity,
  unitRows,
} from "../../../refiner/evaluation/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const sizes = { patchPixels: 4, width: 16, blocks: 5, heads: 2, channels: 1, heightPixels: 8, widthPixels: 8 };
const config = vitConfig(sizes);
const model = new VisionTransformer(device, config);
const base: FeatureChoice = { blocks: ["last"], pooling: "cls" };

/** Three classes that differ a little in their brightness; the rest varies with the index. */
function image(index: number, label: number): RgbImage {
  const data = Uint8Array.from({ length: 64 }, (_, at) => {
    const noise = Math.imul(at + 1 + 64 * index, 2654435761) >>> 24;
    return 40 + 18 * label + ((at >> 3) % 3 === label ? 30 : 0) + Math.floor(noise / 2);
  });
  return { width: 8, height: 8, channels: 1, data };
}

/** Counts how often its images are read. */
function source(length: number, from: number): { readonly images: ImageSource; readonly loads: () => number } {
  const labels = Array.from({ length }, (_, i) => i % 3);
  const inner = imagesInMemory(
    labels.map((label, i) => image(from + i, label)),
    { labels },
  );
  let loads = 0;
  const images: ImageSource = {
    ...inner,
    label: (index) => inner.label(index),
    name: (index) => inner.name(index),
    load: (index, options) => {
      loads++;
      return inner.load(index, options);
    },
  };
  return { images, loads: () => loads };
}

const train = source(60, 0);
const test = source(30, 500);
let sides: EncodedSides;

beforeAll(async () => {
  initializeParameters(model.parameters, vitParameters(config), 3);
  model.writeSincosPositions();
  sides = await encodeSides(model, train.images, test.images, encodingOfChanges(config, base));
});

/** What the extractor gives for one block and pooling alone. */
async function alone(images: ImageSource, { blocks, pooling }: FeatureChoice): Promise<FeatureMatrix> {
  const { features } = await encodeFeatures(device, model, images, { blocks, pooling });
  const [first] = features;
  if (!first) throw new Error("nothing was encoded");
  return first;
}

describe("features of a choice", () => {
  it.each(["cls", "avg", "cls+avg"] as const)(
    "are to the bit those of an extraction of their own: %s",
    async (pooling) => {
      for (const block of [4, "last"] as const) {
        const choice = { blocks: [block], pooling };
        expect(featuresOf(sides.queries, choice, "cls+avg")).toEqual(await alone(test.images, choice));
      }
    },
  );

  it("of several blocks have their class tokens first, lowest block first, then their means", () => {
    const joined = featuresOf(sides.queries, { blocks: [1, 2, 3, 4], pooling: "cls+avg" }, "cls+avg");
    expect(joined.columns).toBe(8 * 16);
    for (const [i, pooling] of (["cls", "avg"] as const).entries())
      for (const [j, block] of [1, 2, 3, 4].entries()) {
        const one = featuresOf(sides.queries, { blocks: [block], pooling }, "cls+avg");
        const from = joined.columns + 16 * (4 * i + j); // of the second row
        expect(joined.data.slice(from, from + 16)).toEqual(one.data.slice(16, 32));
      }
  });

  it("that were not encoded are refused", () => {
    const text = /avg of 0 was not encoded/;
    expect(() => featuresOf(sides.queries, { blocks: [0], pooling: "avg" }, "cls+avg")).toThrow(text);
  });

  it("leave out what makes no difference", () => {
    const named = (vit: Parameters<typeof featureChanges>[0], choice: FeatureChoice) =>
      featureChanges(vit, choice).map(({ setting, value }) => `${setting} ${value}`);
    expect(named(config, base)).toEqual(["last norm without", "pooling avg", "pooling cls+avg", "blocks last 4, raw"]);
    expect(named({ ...config, kind: "postnorm" }, base)).not.toContain("last norm without");
    expect(named({ ...config, classTokens: 0 }, { blocks: [4], pooling: "avg" })).toEqual([
      "last norm with",
      "blocks last 4, raw",
    ]);
    expect(named(config, { blocks: [2], pooling: "cls" })).toEqual(["pooling avg", "pooling cls+avg"]);
  });
});

/** Training and test features of a choice, with their classes. */
function labelled(encoded: BlockFeatures, choice: FeatureChoice) {
  return { features: featuresOf(encoded, choice, "cls+avg"), labels: encoded.labels };
}

describe("knnSensitivity", () => {
  it("gives every variant the accuracy that k-NN with that setting has, from one pass over the images", {
    timeout: 120_000,
  }, async () => {
    const searches: (readonly [number, number])[] = [];
    const before = [train.loads(), test.loads()];
    const settings = { k: 7, temperature: 0.07, standardise: true };
    const found = await knnSensitivity(
      device,
      config,
      sides,
      { features: base, ...settings },
      { onSearch: (done, total) => searches.push([done, total]) },
    );
    expect([train.loads(), test.loads()]).toEqual(before); // nothing is encoded again
    expect(searches.at(-1)).toEqual([7, 7]); // the base, two scalings, four changes of features
    const changed: Readonly<Record<string, (value: string) => object>> = {
      k: (value) => ({ k: Number(value) }),
      temperature: (value) => ({ temperature: Number(value) }),
      scaling: () => ({ standardise: false }),
    };
    const plain = (choice: FeatureChoice, options: object) =>
      knnAccuracy(device, labelled(sides.bank, choice), labelled(sides.queries, choice), { ...settings, ...options });
    expect(found.base).toBe(await plain(base, {}));
    const names = found.variants.map(({ setting, value }) => `${setting} ${value}`);
    expect(names.filter((name) => name.startsWith("k "))).toEqual(["k 5", "k 10", "k 20", "k 50"]); // of 60 rows
    for (const { setting, value, score } of found.variants) {
      if (value === "centred") continue;
      const change = featureChanges(config, base).find((one) => one.setting === setting && one.value === value);
      expect([setting, value, score]).toEqual([
        setting,
        value,
        await plain(change?.choice ?? base, changed[setting]?.(value) ?? {}),
      ]);
    }
    const scores = [found.base, ...found.variants.map(({ score }) => score)];
    expect([found.smallest, found.largest]).toEqual([Math.min(...scores), Math.max(...scores)]);
    expect(found.largest).toBeGreaterThan(found.smallest);
  });

  it("leaves the number itself as it is", { timeout: 60_000 }, async () => {
    const own = await encodeSides(model, train.images, test.images, { blocks: ["last"], pooling: "cls" });
    const { accuracy } = await knnOfFeatures(device, own, { k: 7 });
    const options = { features: base, k: 7, temperature: 0.07, standardise: true };
    expect((await knnSensitivity(device, config, sides, options)).base).toBe(accuracy[0]);
  });
});

describe("lowShotSensitivity", () => {
  it("fits each variant to the same draw, with that setting", { timeout: 120_000 }, async () => {
    const subset = { shots: 2, split: "1", rows: [0, 1, 2, 3, 4, 5] };
    const raw: FeatureChoice = { blocks: [4], pooling: "cls" };
    let runs = 0;
    const encoded = { train: sides.bank, test: sides.queries };
    const found = await lowShotSensitivity(device, config, encoded, raw, subset, { onRun: () => runs++ });
    expect(runs).toBe(1 + found.variants.length);
    const plain = async (choice: FeatureChoice, options: object) => {
      const { features, labels } = labelled(sides.bank, choice);
      const few = { rows: 6, columns: features.columns, data: features.data.slice(0, 6 * features.columns) };
      const of = { features: few, labels: labels.slice(0, 6) };
      return (await lowShot(device, of, labelled(sides.queries, choice), options)).accuracy;
    };
    expect(found).toMatchObject({ of: "accuracy, 2 per class, split 1", base: await plain(raw, {}) });
    const options: Readonly<Record<string, object>> = {
      without: { centre: false },
      "lengths kept": { unitLength: false },
      "× 0.1": { penalty: 0.000025 },
      "× 10": { penalty: 0.0025 },
    };
    for (const { setting, value, score } of found.variants) {
      const change = featureChanges(config, raw).find((one) => one.setting === setting && one.value === value);
      expect([value, score]).toEqual([value, await plain(change?.choice ?? raw, change ? {} : (options[value] ?? {}))]);
    }
    expect(found.variants.map(({ setting }) => setting)).toEqual([
      ...["last norm", "pooling", "pooling", "blocks", "centring", "scaling", "penalty", "penalty"],
    ]);
  });
});

describe("lowShot without centring", () => {
  it("is logistic regression on rows of unit length as they are", { timeout: 60_000 }, async () => {
    const { features, labels } = labelled(sides.bank, base);
    const side = { features, labels };
    const { regression } = await lowShot(device, side, side, { centre: false });
    const expected = await fitLogisticRegression(device, unitRows(features), labels, {
      l2: 0.00025 / features.rows,
      bias: "none",
    });
    expect(regression.objective).toBe(expected.objective);
    expect(regression.objective).not.toBe((await lowShot(device, side, side)).regression.objective);
  });
});

describe("lowShot with lengths kept", () => {
  it("is logistic regression on rows whose mean length is 1", { timeout: 60_000 }, async () => {
    const { features: same, labels } = labelled(sides.bank, base);
    const data = same.data.map((value, i) => value * (1 + (Math.floor(i / same.columns) % 4))); // of four lengths
    const features = { ...same, data };
    const side = { features, labels };
    const { regression } = await lowShot(device, side, side, { centre: false, unitLength: false });
    const lengths = Array.from({ length: features.rows }, (_, row) =>
      Math.hypot(...features.data.subarray(row * features.columns, (row + 1) * features.columns)),
    );
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    const scaled = { ...features, data: Float32Array.from(features.data, (value) => value / mean) };
    const options = { l2: 0.00025 / features.rows, bias: "none" } as const;
    const expected = await fitLogisticRegression(device, scaled, labels, options);
    // Each fit ends less than a millionth above its minimum, which here is 0.049; measured is no difference at all.
    expect(Math.abs(regression.objective - expected.objective)).toBeLessThanOrEqual(1e-6 * expected.objective);
    const unit = await fitLogisticRegression(device, unitRows(features), labels, options);
    expect(Math.abs(regression.objective - unit.objective)).toBeGreaterThan(1e-4);
  });
});

describe("clusterSensitivity", () => {
  it("clusters each variant with the starts of the base", { timeout: 120_000 }, async () => {
    const starts = { clusters: 3, seed: 1, restarts: 2 };
    const found = await clusterSensitivity(device, config, sides.bank, base, { ...starts, unitLength: true });
    const plain = async (x: FeatureMatrix) =>
      clusterAgreement((await kMeans(device, x, starts)).assignment, sides.bank.labels).accuracy;
    const features = featuresOf(sides.bank, base, "cls+avg");
    expect(found.base).toBe(await plain(unitRows(features)));
    const score = (value: string) => found.variants.find((one) => one.value === value)?.score;
    expect(score("as it is")).toBe(await plain(features));
    const four = featuresOf(sides.bank, { blocks: [1, 2, 3, 4], pooling: "cls" }, "cls+avg");
    expect(score("last 4, raw")).toBe(await plain(unitRows(four)));
    expect(found.variants).toHaveLength(7);
  });

  it("tells classes by length where features are as they are, and by direction at unit length", async () => {
    // Two lengths and two directions around one axis: class by length.
    const points = [1, 1.1, 5, 5.1].flatMap((length) => [-0.3, 0.3].map((angle) => ({ length, angle })));
    const data = Float32Array.from(
      points.flatMap(({ length, angle }) => [length * Math.cos(angle), length * Math.sin(angle)]),
    );
    const encoded: BlockFeatures = {
      blocks: ["last"],
      features: [{ rows: 8, columns: 2, data }],
      labels: Int32Array.from(points, ({ length }) => (length > 2 ? 1 : 0)),
      indices: Uint32Array.from(points.keys()),
    };
    const vit = vitConfig({ ...sizes, blocks: 1, classTokens: 0, kind: "postnorm" });
    const choice: FeatureChoice = { blocks: ["last"], pooling: "avg" };
    const options = { clusters: 2, seed: 0, restarts: 5, unitLength: true };
    const { base: own, variants } = await clusterSensitivity(device, vit, encoded, choice, options);
    expect([own, variants.find(({ value }) => value === "as it is")?.score]).toEqual([0.5, 1]);
  });
});

describe("probeSensitivity", () => {
  const heads = [0, 1, 2].flatMap((rate) =>
    ["cls last1", "cls last4"].map((input, feature) => ({ name: `${input}, rate ${rate}`, feature, rate })),
  );
  const [first, , third] = heads;
  const result = (head: number, epoch: number, heldOut: number, right: number) => {
    const one = heads[head] ?? { name: "", feature: 0, rate: 0 };
    return { head: one, rate: one.rate, feature: "", epoch, heldOut: heldOut / 10, test: right / 20 };
  };
  const scores = [
    { kind: "probe", stage: 1, epoch: 1, heldOut: [1, 2, 9, 3, 4, 8], test: [11, 2, 13, 14, 15, 6] },
    { kind: "probe", stage: 1, epoch: 2, heldOut: [2, 8, 8, 1, 4, 8], test: [7, 17, 18, 3, 9, 19] },
  ] as const;
  const found = {
    heads,
    compared: [] as typeof heads,
    scores: scores.map((one) => ({ ...one, heldOut: [...one.heldOut], test: [...one.test] })),
    images: { train: 50, heldOut: 10, test: 20 },
    chosen: result(2, 1, 9, 13),
    lastEpoch: result(1, 2, 8, 17),
    testMaximum: result(5, 2, 8, 19),
  };

  it("tells what heads of the grid would have given, each chosen on the held-out images", () => {
    expect([first?.feature, third?.rate]).toEqual([0, 1]);
    expect(probeSensitivity(found, "held-out")).toEqual({
      of: "accuracy",
      base: 13 / 20,
      variants: [
        { setting: "input", value: "cls last4", score: 6 / 20 }, // 8 held-out ones first in epoch 1, by head 5
        { setting: "rate", value: "one step smaller", score: 7 / 20 },
        { setting: "rate", value: "one step larger", score: 15 / 20 },
        { setting: "epoch", value: "last", score: 17 / 20 },
        { setting: "chosen on", value: "test images", score: 19 / 20 },
      ],
      smallest: 6 / 20,
      largest: 19 / 20,
    });
  });

  it("tells what heads would have given that are only compared: without the last norm, and another pooling", () => {
    const compared = [0, 1, 2].flatMap((rate) =>
      ["cls last1 raw", "avg last1"].map((input, i) => ({ name: `${input}, rate ${rate}`, feature: 2 + i, rate })),
    );
    const more = [
      { heldOut: [0, 3, 7, 1, 2, 0], test: [1, 12, 5, 3, 4, 2] },
      { heldOut: [0, 0, 7, 4, 0, 0], test: [1, 1, 9, 16, 4, 2] },
    ];
    const all = found.scores.map((one, epoch) => ({
      ...one,
      heldOut: [...one.heldOut, ...(more[epoch]?.heldOut ?? [])],
      test: [...one.test, ...(more[epoch]?.test ?? [])],
    }));
    const { base, variants } = probeSensitivity({ ...found, compared, scores: all }, "held-out") ?? {};
    expect(base).toBe(13 / 20);
    expect(variants?.slice(0, 3)).toEqual([
      { setting: "input", value: "cls last4", score: 6 / 20 },
      { setting: "last norm", value: "without", score: 5 / 20 },
      { setting: "input", value: "avg last1", score: 16 / 20 },
    ]);
  });

  it("is nothing for a probe that is not finished", () => {
    expect(probeSensitivity({ heads, compared: [], scores: [], images: found.images }, "test")).toBeUndefined();
  });
});
