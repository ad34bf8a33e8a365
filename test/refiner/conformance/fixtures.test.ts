import { describe, expect, it } from "vitest";
import { checkFixtures, goldenCases } from "../../../refiner/conformance/index.ts";
import { testDevice } from "../../device.ts";
import { fixtureFolder } from "../../fixtures.ts";

const device = await testDevice();

/** Cases whose numbers depend on the precision of an encoder. */
const modelCases = [
  "vit-prenorm",
  "vit-postnorm",
  "mae",
  "finetune",
  "refine-trajectory-stage2",
  "refine-trajectory-stage3",
];

describe.each(modelCases)("%s in f16", (name) => {
  it("equals the authors' numbers within the bounds of half precision", { timeout: 300_000 }, async (context) => {
    if (!device.features.has("shader-f16")) context.skip(`${device.info.name}: no shader-f16`);
    const { rows } = await checkFixtures(device, fixtureFolder(), { only: [name], precision: "f16" });
    const failed = rows
      .filter((row) => !row.pass)
      .map((row) => `${row.tensor}: ${row.maxError.toExponential(2)} > ${row.bound}`);
    expect(failed).toEqual([]);
    // Products of rounded operands are off by more than f32 ever is: the path was taken.
    expect(Math.max(...rows.map(({ maxError }) => maxError))).toBeGreaterThan(2 ** -12);
  });
});

/** How much each case compares. Ties of a trajectory, which depend on the adapter, change no count: each has the row of its distance. */
const comparisons: Readonly<Record<string, number>> = {
  augment: 28,
  checkpoints: 722,
  corruptions: 51,
  distributed: 1016,
  "clustering-more": 139,
  "few-shot-subsets": 113,
  finetune: 333,
  "finetune-schedule": 14,
  knn: 64,
  "layer-decay-groups": 306,
  "linear-probe": 190,
  "logreg-lowshot": 49,
  mae: 110,
  metrics: 62,
  mixup: 64,
  "nnclr-allswap": 51,
  "nnclr-head": 179,
  "nnclr-topk": 75,
  "pos-embed": 20,
  "random-erasing": 52,
  randaugment: 190,
  "refine-trajectory-stage2": 940,
  "refine-trajectory-stage3": 1230,
  robustness: 11,
  schedule: 50,
  "segmentation-probe": 199,
  "vit-postnorm": 59,
  "vit-prenorm": 72,
};

/** Files beside the checkpoints that are not the authors': tests of reading have them for themselves. */
const ourOwn = ["exotic-deflated.pth", "python_pickles.json"].map((file) => ({
  file: `checkpoints/${file}`,
  name: "",
}));

describe.each(goldenCases)("%s", (name) => {
  it("equals the authors' numbers within the bounds", { timeout: 300_000 }, async () => {
    const { rows, cases } = await checkFixtures(device, fixtureFolder(), { only: [name] });
    const failed = rows
      .filter((row) => !row.pass)
      .map((row) => `${row.tensor}: ${row.maxError.toExponential(2)} > ${row.bound}`);
    expect(failed).toEqual([]);
    expect(rows).toHaveLength(comparisons[name] ?? Number.NaN);
    expect(cases).toMatchObject([{ case: name, compared: rows.length, failed: 0 }]);
    expect(cases[0]?.notCompared).toEqual(name === "checkpoints" ? ourOwn : []);
  });
});

it("a neighbour that is no tie fails, however near to each other the best two are", { timeout: 120_000 }, async () => {
  const name = "refine-trajectory-stage2";
  const folder = fixtureFolder();
  const json = JSON.parse(await folder.text(`${name}.json`));
  const { neighbours } = json.main.steps[5];
  neighbours.cls2.gap_best_to_second = 0;
  neighbours.cls2.queue_idx[0] = (neighbours.cls2.queue_idx[0] + 1) % 40;
  const altered = { ...folder, text: async () => JSON.stringify(json) };
  const { rows } = await checkFixtures(device, altered, { only: [name] });
  const failed = rows.filter((row) => !row.pass).map((row) => row.tensor);
  expect(failed).toContain("main.steps.5.neighbours.cls2.queue_idx");
});
