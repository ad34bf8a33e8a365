import { describe, expect, it } from "vitest";
import { centredUnitRows, linearPredictions, lowShot, lowShotOfSubsets } from "../../../refiner/evaluation/index.ts";
import { testDevice } from "../../device.ts";
import { scatteredRows } from "./scattered_rows.ts";

const device = await testDevice();

/** Rows around one direction per class. */
function labelled(rows: number, columns: number, classes: number, seed: number) {
  const directions = scatteredRows(classes, columns, 99).data;
  const noise = scatteredRows(rows, columns, seed).data;
  const labels = Array.from({ length: rows }, (_, row) => row % classes);
  const data = noise.map((value, at) => {
    const label = labels[Math.floor(at / columns)] ?? 0;
    return 5 + 0.5 * value + (directions[label * columns + (at % columns)] ?? 0);
  });
  return { features: { rows, columns, data }, labels };
}

describe("centredUnitRows", () => {
  it("gives rows of mean 0 and length 1, and zeros where all entries are equal", () => {
    const { data } = centredUnitRows({ rows: 2, columns: 3, data: Float32Array.of(1, 2, 6, 0.1, 0.1, 0.1) });
    expect(data[0] ?? 0).toBeCloseTo(-2 / Math.sqrt(14), 6);
    expect([...data.subarray(0, 3)].reduce((a, b) => a + b)).toBeCloseTo(0, 6);
    expect([...data.subarray(3)]).toEqual([0, 0, 0]);
  });

  it("refuses values that are not finite", () => {
    const x = { rows: 1, columns: 2, data: Float32Array.of(1, Number.POSITIVE_INFINITY) };
    expect(() => centredUnitRows(x)).toThrow(/holds Infinity/);
  });
});

describe("lowShot", () => {
  it("classifies separable classes, and converges", async () => {
    const found = await lowShot(device, labelled(40, 24, 8, 1), labelled(200, 24, 8, 2));
    expect(found.accuracy).toBeGreaterThan(0.9);
    expect(found.regression.converged).toBe(true);
    expect(found.regression.gap).toBeLessThan(1e-6 * found.regression.objective);
    expect(found.trainingRows).toBe(40);
  });

  it("predicts the same whether test features were prepared or not", async () => {
    const [train, test] = [labelled(12, 16, 4, 3), labelled(100, 16, 4, 4)];
    const { predicted, regression } = await lowShot(device, train, test);
    expect(await linearPredictions(device, regression, test.features)).toEqual(predicted);
  });

  it("counts test images of a class without training images as wrong, and names the class", async () => {
    const train = labelled(12, 16, 3, 5);
    const test = labelled(30, 16, 3, 6);
    const relabelled = { ...train, labels: train.labels.map((label) => (label === 1 ? -1 : 2 * label)) };
    const found = await lowShot(device, relabelled, { ...test, labels: test.labels.map((label) => 2 * label) });
    expect(found.classes).toEqual([0, 4]);
    expect(found.withoutTraining).toEqual([2]);
    expect(found.trainingRows).toBe(8);
    expect(found.accuracy).toBeCloseTo(2 / 3, 1);
    expect(new Set(found.predicted)).toEqual(new Set([0, 4]));
  });

  it("does without test images of a class", async () => {
    const test = labelled(30, 16, 3, 6);
    const found = await lowShot(device, labelled(12, 16, 3, 5), {
      ...test,
      labels: test.labels.map((l) => (l === 2 ? -1 : l)),
    });
    expect(found.accuracy).toBeGreaterThan(0.9);
    expect(found.predicted.length).toBe(30);
  });

  it("refuses a single class", async () => {
    const train = labelled(4, 5, 1, 1);
    await expect(lowShot(device, train, labelled(4, 5, 2, 1))).rejects.toThrow(/all 4 training images are of class 0/);
  });

  it("refuses images without labels, features that are not finite and other widths", async () => {
    const good = labelled(6, 5, 2, 1);
    const bare = { ...good, labels: good.labels.map(() => -1) };
    await expect(lowShot(device, bare, good)).rejects.toThrow(/no training image has a label/);
    await expect(lowShot(device, good, bare)).rejects.toThrow(/no test image has a label/);
    const damaged = {
      ...good,
      features: { ...good.features, data: good.features.data.map((v, at) => (at === 7 ? Number.NaN : v)) },
    };
    await expect(lowShot(device, good, damaged)).rejects.toThrow(/row 1 of the test features holds NaN/);
    await expect(lowShot(device, good, labelled(6, 4, 2, 1))).rejects.toThrow(
      /width 4, the classifier was fitted on 5/,
    );
  });
});

describe("lowShotOfSubsets", () => {
  it("averages the splits of each number of shots, with their deviation", async () => {
    const [train, test] = [labelled(60, 12, 5, 7), labelled(100, 12, 5, 8)];
    const rows = (shots: number, from: number) => Array.from({ length: 5 * shots }, (_, at) => from * 5 + at);
    const subsets = [1, 2].flatMap((shots) =>
      [1, 2, 3].map((split) => ({ shots, split: String(split), rows: rows(shots, 2 * split) })),
    );
    const { runs, summary } = await lowShotOfSubsets(device, train, test, subsets);
    expect(summary.map(({ shots, splits }) => [shots, splits])).toEqual([
      [1, 3],
      [2, 3],
    ]);
    const values = runs.slice(0, 3).map(({ accuracy }) => accuracy);
    const mean = values.reduce((a, b) => a + b) / 3;
    expect(summary[0]?.mean).toBeCloseTo(mean, 12);
    expect(summary[0]?.deviation).toBeCloseTo(Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 2), 12);
    expect(runs.map(({ trainingRows }) => trainingRows)).toEqual([5, 5, 5, 10, 10, 10]);
  });

  it("refuses a row that there is not", async () => {
    const side = labelled(6, 5, 2, 1);
    await expect(lowShotOfSubsets(device, side, side, [{ shots: 1, split: "1", rows: [0, 6] }])).rejects.toThrow(
      /row 6 of a subset is not one of the 6 training images/,
    );
  });
});
