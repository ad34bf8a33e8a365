import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { imagesInMemory } from "../../../../refiner/data/index.ts";
import { placesOfTest } from "../../../../refiner/evaluation/core/labelled_images.ts";
import {
  EvaluationError,
  frequencyGroups,
  labelledImages,
  meanShare,
  pairedDifference,
  probeGrid,
  probePreset,
  stratifiedSplit,
} from "../../../../refiner/evaluation/index.ts";
import { ProbeLayout, ProbeRows } from "../../../../refiner/evaluation/probes/probe_rows.ts";
import { bestHead, correctPerHead, ProbeSelection } from "../../../../refiner/evaluation/probes/probe_scores.ts";

const vit = { width: 2, classTokens: 1, blocks: 6 };

describe("the grid", () => {
  it("has 52 heads in the published order, 26 without class tokens, and 8 in the reduced form", () => {
    const { heads, sources } = probeGrid(vit);
    expect(heads).toHaveLength(52);
    expect(heads.slice(0, 5).map(({ name }) => name)).toEqual([
      "cls last1, rate 0.0001",
      "cls last4, rate 0.0001",
      "cls+avg last1, rate 0.0001",
      "cls+avg last4, rate 0.0001",
      "cls last1, rate 0.0002",
    ]);
    expect([...sources]).toEqual([
      ["last1", 4],
      ["last4", 16],
    ]);
    expect(probeGrid({ ...vit, classTokens: 0 }).heads).toHaveLength(26);
    const { rates = [], sources: reduced = [] } = probePreset("inat", 1e6);
    expect(probeGrid(vit, { rates, sources: reduced }).heads).toHaveLength(8);
  });

  it("reads class tokens of all blocks before their means, and the mean alone for avg", () => {
    const grid = probeGrid(vit, { pooling: "avg" });
    const columns = Object.fromEntries(grid.features.map(({ name, columns }) => [name, columns]));
    expect(columns).toEqual({
      "avg last1": [2, 4],
      "avg last4": [8, 16],
      "cls+avg last1": [0, 4],
      "cls+avg last4": [0, 16],
    });
    const block = (from: number) => Float32Array.of(from, from + 1, from + 2, from + 3); // cls, avg
    const arranged = new ProbeLayout(grid, 4, 2).arrange([0, 10, 20, 30, 90].map(block), 1);
    expect([...(arranged.get("last4") ?? [])]).toEqual([0, 1, 10, 11, 20, 21, 30, 31, 2, 3, 12, 13, 22, 23, 32, 33]);
    expect([...(arranged.get("last1") ?? [])]).toEqual([90, 91, 92, 93]);
  });

  it("adds compared heads behind the others, which cost at most half as much again", () => {
    const kinds = ["prenorm", "postnorm"] as const;
    const sets: ("last1" | "last4")[][] = [["last1"], ["last4"], ["last1", "last4"]];
    const sized = kinds.flatMap((kind) =>
      [0, 1].flatMap((classTokens) => [1, 2, 6].map((blocks) => ({ ...vit, kind, classTokens, blocks }))),
    );
    const values = ({ features }: ReturnType<typeof probeGrid>) =>
      features.reduce((sum, { columns: [from, to] }) => sum + to - from, 0);
    for (const [one, sources] of sized.flatMap((one) => sets.map((set) => [one, set] as const))) {
      const own = probeGrid(one, { rates: [0.1, 1], sources });
      const all = probeGrid(one, { rates: [0.1, 1], sources, compared: true });
      expect(all.heads.slice(0, own.heads.length)).toEqual(own.heads);
      expect([own.choosableFeatures, all.choosableFeatures ?? own.features.length]).toEqual([
        undefined,
        own.features.length,
      ]);
      expect(values(all)).toBeLessThanOrEqual(1.5 * values(own));
      const isRaw = all.features.some(({ name }) => name.includes("raw"));
      expect(isRaw).toBe(one.kind === "prenorm" && sources.includes("last1") && values(own) >= 2 * one.width);
    }
  });

  it("compares heads without the last norm first, then those of another pooling, as many as the work allows", () => {
    const compared = (sources?: ("last1" | "last4")[]) => {
      const { features, choosableFeatures } = probeGrid(vit, { compared: true, ...(sources ? { sources } : {}) });
      return features.slice(choosableFeatures).map(({ name }) => name);
    };
    expect(compared()).toEqual(["cls last1 raw", "cls+avg last1 raw", "avg last1"]);
    expect(compared(["last1"])).toEqual(["cls last1 raw"]);
    expect(compared(["last4"])).toEqual(["cls last1", "cls+avg last1", "avg last1"]);
  });

  it("reads the raw output of the last block for heads without the last norm", () => {
    const grid = probeGrid(vit, { compared: true });
    const block = (from: number) => Float32Array.of(from, from + 1, from + 2, from + 3);
    const arranged = new ProbeLayout(grid, 4, 2).arrange([0, 10, 20, 30, 90].map(block), 1);
    expect([...(arranged.get("last1 raw") ?? [])]).toEqual([30, 31, 32, 33]);
    expect([...(arranged.get("last1") ?? [])]).toEqual([90, 91, 92, 93]);
  });

  it("refuses rates of nothing, and features that are not finite", () => {
    expect(() => probeGrid(vit, { rates: [0.1, 0] })).toThrow(/give numbers above 0/);
    expect(() => probeGrid(vit, { rates: [0.1, 0.1] })).toThrow(/give each once/);
    expect(() => probeGrid({ ...vit, classTokens: 0 }, { pooling: "cls" })).toThrow(/no class token/);
    const layout = new ProbeLayout(probeGrid(vit), 4, 2);
    const broken = Array.from({ length: 5 }, () => Float32Array.of(0, Number.NaN, 0, 0));
    expect(() => layout.arrange(broken, 1)).toThrow(EvaluationError);
  });
});

it("rows come back as they were kept, over the edges of pieces, with zeros behind the last", async () => {
  const grid = probeGrid(vit, { sources: ["last1"] });
  const rows = new ProbeRows(grid);
  const count = 2050;
  rows.append(new Map([["last1", Float32Array.from({ length: 4 * count }, (_, i) => i)]]), count);
  expect(rows.length).toBe(count);
  const found = (await rows.gather([1023, 1024, 2049], 4)).get("last1") ?? [];
  expect([...found]).toEqual([4092, 4093, 4094, 4095, 4096, 4097, 4098, 4099, 8196, 8197, 8198, 8199, 0, 0, 0, 0]);
});

describe("held-out images", () => {
  it("are the stated share of each class, never the last one, and the same for the same seed", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 4, maxLength: 200 }),
        fc.constantFrom(0.1, 0.25, 0.5, 0.9),
        fc.integer({ min: 0, max: 1000 }),
        (labels, share, seed) => {
          const sizes = [0, 1, 2, 3, 4, 5].map((c) => labels.filter((label) => label === c).length);
          const wanted = sizes.map((size) => Math.max(0, Math.min(size - 1, Math.round(share * size))));
          fc.pre(wanted.some((count) => count > 0));
          const { kept, heldOut } = stratifiedSplit(labels, share, seed);
          expect([...kept, ...heldOut].sort((a, b) => a - b)).toEqual(labels.map((_, i) => i));
          const counts = [0, 1, 2, 3, 4, 5].map((c) => [...heldOut].filter((i) => labels[i] === c).length);
          expect(counts).toEqual(wanted);
          expect(stratifiedSplit(labels, share, seed).heldOut).toEqual(heldOut);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("are refused where every class has a single image", () => {
    expect(() => stratifiedSplit([0, 1, 2], 0.1, 0)).toThrow(/no class has enough images/);
    expect(() => stratifiedSplit([0, 0, 1, 1], 1, 0)).toThrow(/give one between 0 and 1/);
  });
});

describe("labelled images", () => {
  const source = (labels: readonly (number | undefined)[]) => {
    const image = { width: 1, height: 1, channels: 1, data: new Uint8Array(1) } as const;
    return imagesInMemory(
      labels.map(() => image),
      { labels },
    );
  };

  it("are numbered anew by the classes that occur in training; the others are left out and said so", () => {
    const found = labelledImages("probe", source([7, undefined, 900, 7]), source([900, 3, undefined, 900]));
    expect(found.classNames).toEqual(["7", "900"]);
    expect(Array.from({ length: found.train.length }, (_, i) => found.train.label(i))).toEqual([0, 1, 0]);
    expect(Array.from({ length: found.test.length }, (_, i) => found.test.label(i))).toEqual([1, 1]);
    expect([...found.testIndices]).toEqual([0, 3]);
    expect([...placesOfTest(found, [1, 0])]).toEqual([3, 0]);
    expect(() => placesOfTest(found, [0, 2])).toThrow(/there is no test image 2; 2 are kept/);
    expect(found.notices).toEqual([
      "1 training images without a class that is learned are left out",
      "2 test images without a class that is learned are left out",
      "1 of 2 classes have no test image: 7",
    ]);
  });

  it("are refused without labels, of one class, or with no class in common", () => {
    expect(() => labelledImages("probe", source([undefined]), source([1]))).toThrow(/no training image has a label/);
    expect(() => labelledImages("probe", source([1, 2]), source([undefined]))).toThrow(/no test image has a label/);
    expect(() => labelledImages("probe", source([4, 4]), source([4]))).toThrow(
      /all training images are of one class, 4/,
    );
    expect(() => labelledImages("probe", source([1, 2]), source([3]))).toThrow(/no test image is of a class/);
  });
});

describe("the selection", () => {
  const scores = (epoch: number, heldOut: number[], test: number[]) =>
    ({ kind: "probe", stage: 1, epoch, heldOut, test }) as const;

  it("takes the first head of the earliest epoch among equals, on the images that choose", () => {
    const [first, second] = [scores(1, [3, 5, 5], [9, 1, 1]), scores(2, [5, 5, 5], [1, 9, 2])];
    const held = new ProbeSelection("held-out");
    expect([held.add(first), held.add(second)]).toEqual([true, false]);
    expect(held.best).toMatchObject({ head: 1, epoch: 1 });
    const test = new ProbeSelection("test");
    expect([test.add(second), test.add(first)]).toEqual([true, false]);
    expect(test.best).toMatchObject({ head: 1, epoch: 2 });
    expect(bestHead(first, "test")).toEqual({ head: 0, correct: 9 });
    expect(bestHead({ ...first, test: [1, 2, 9] }, "test", 2)).toEqual({ head: 1, correct: 2 });
  });

  it("counts what each head got right", () => {
    // Two features, two rates, three rows: [row, rate].
    const predicted = [Uint32Array.of(0, 1, 1, 1, 2, 0), Uint32Array.of(0, 0, 1, 0, 0, 2)];
    expect(correctPerHead(predicted, [0, 1, 2], 2)).toEqual([3, 2, 1, 2]);
    expect(correctPerHead(predicted, [0, 1, 2], 2, 1)).toEqual([3, 1, 2, 2]); // heads of the first feature first
  });
});

it("the standard error of a difference is that of the pairs", () => {
  const side = (predicted: number[]) => ({
    indices: Uint32Array.of(0, 1, 2, 3),
    labels: [0, 0, 0, 0],
    predicted,
    classNames: ["a", "b"],
  });
  const found = pairedDifference(side([0, 1, 1, 0]), side([0, 0, 1, 0]));
  // Differences 0, 1, 0, 0: mean 1/4, deviation 1/2, over √4.
  expect(found).toEqual({ value: 0.25, standardError: 0.25, images: 4 });
  const other = { ...side([0, 0, 0, 0]), indices: Uint32Array.of(0, 1, 2, 4) };
  expect(() => pairedDifference(side([0, 0, 0, 0]), other)).toThrow(/different test images/);
});

it("the mean of a share has the standard error of its images", () => {
  // Mean 1/8, deviation 1/4, over √4.
  expect(meanShare([0.5, 0, 0, 0])).toEqual({ value: 0.125, standardError: 0.125, images: 4 });
  expect(() => meanShare([])).toThrow(/no images/);
});

it("accuracies by class frequency follow the bounds of 20 and 100 training images", () => {
  const labels = [0, 1, 2, 3, 3, 4];
  const predictions = {
    indices: Uint32Array.from(labels.keys()),
    labels,
    predicted: [0, 0, 2, 3, 0, 4],
    classNames: ["a", "b", "c", "d", "e"],
  };
  const found = frequencyGroups(predictions, [101, 100, 20, 19, 1]);
  expect(found.map(({ name, value, images, classes }) => [name, value, images, classes])).toEqual([
    ["many", 1, 1, 1],
    ["medium", 0.5, 2, 2],
    ["few", 2 / 3, 3, 2],
  ]);
  expect(frequencyGroups(predictions, [1, 1, 1, 1, 1]).map(({ name }) => name)).toEqual(["few"]);
});
