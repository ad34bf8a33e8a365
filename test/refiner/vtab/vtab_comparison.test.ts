import { expect, it } from "vitest";
import { pairedShares, rightShares, vtabDifferences } from "../../../refiner/index.ts";
import { summaryOfTask } from "../../../refiner/vtab/vtab_summary.ts";

const labels = Int32Array.of(0, 1, 0, 1);

/** A task whose final runs predict this, seed by seed. */
function task(name: string, ...predicted: readonly number[][]) {
  const runs = predicted.map((one, seed) => ({
    ...{ task: name, stage: "final" as const, rate: 0.1, seed, classes: 2, images: 4 },
    accuracy: one.filter((label, i) => label === labels[i]).length / 4,
    predicted: Int32Array.from(one),
  }));
  return summaryOfTask([], runs, labels);
}

const before = [task("cifar", [0, 1, 1, 0], [0, 0, 1, 0]), task("svhn", [0, 1, 0, 1], [0, 1, 0, 0])];
const after = [task("cifar", [0, 1, 0, 0], [0, 1, 0, 1]), task("svhn", [0, 1, 0, 0], [0, 1, 0, 0])];

it("the differences of two encoders are paired over images and over seeds, and their mean is that of the tasks", () => {
  // Shares of right seeds: cifar 1, 1/2, 0, 0 and 1, 1, 1, 1/2; svhn 1, 1, 1, 1/2 and 1, 1, 1, 0.
  const [cifar, svhn, natural, all, ...others] = vtabDifferences(before, after);
  expect(others).toEqual([]);
  expect(cifar).toMatchObject({ name: "cifar", tasks: 1, mean: 0.5 });
  // Differences 0, 1/2, 1, 1/2: deviation √(1/6), over √4; by seed 3/4 - 1/2 and 1 - 1/4: 1/4 and 3/4.
  expect(cifar?.standardError).toBeCloseTo(Math.sqrt(1 / 6) / 2, 12);
  expect(cifar?.seedError).toBeCloseTo(0.25, 12);
  expect(svhn?.mean).toBeCloseTo(-1 / 8, 12);
  expect(svhn?.standardError).toBeCloseTo(1 / 8, 12); // 0, 0, 0, -1/2: deviation 1/4
  expect(natural).toMatchObject({ name: "natural", tasks: 2 });
  expect(all?.mean).toBeCloseTo((0.5 - 1 / 8) / 2, 12);
  expect(all?.standardError).toBeCloseTo(Math.hypot(Math.sqrt(1 / 6) / 2, 1 / 8) / 2, 12);
  expect({ ...natural, name: "all" }).toEqual(all);
});

it("images that one of both has not tested are in no difference", () => {
  const first = rightShares(
    [0, 1, 0],
    [
      [0, 0, -1],
      [0, 1, -1],
    ],
  );
  expect([...first]).toEqual([1, 0.5, Number.NaN]);
  expect(pairedShares(first, [0, 1, 1])).toEqual({ value: -0.25, standardError: 0.75, images: 2 });
  expect(() => pairedShares(first, [1, 1])).toThrow(/of different test images/);
});

it("other tasks, seeds or images cannot be compared", () => {
  expect(() => vtabDifferences(before, after.slice(0, 1))).toThrow(/2 and 1 tasks cannot be compared/);
  expect(() => vtabDifferences(before, [...after].reverse())).toThrow(/cifar and svhn cannot be compared/);
  const fewer = [task("cifar", [0, 1, 0, 0]), task("svhn", [0, 1, 0, 0])];
  expect(() => vtabDifferences(before, fewer)).toThrow(/seeds and test images must be the same/);
});
