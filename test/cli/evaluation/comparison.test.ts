import { expect, it } from "vitest";
import { differencesOf } from "../../../cli/evaluation/comparison.ts";

function result(value: number, predicted: number[]) {
  const predictions = { indices: Uint32Array.of(0, 1, 2, 3), labels: [0, 0, 0, 0], predicted, classNames: ["a", "b"] };
  return { scores: [{ name: "accuracy, corrupted", value, standardError: 0.3, images: 4 }], predictions };
}

it("the main number is compared image by image where the predictions are what it is the mean of", () => {
  const [found] = differencesOf(result(0.5, [0, 0, 1, 1]), result(0.75, [0, 0, 0, 1]));
  expect(found).toMatchObject({ difference: 0.25, how: "paired" });
});

it("predictions of other images than those of the number tell no difference of it", () => {
  const found = differencesOf(result(0.5, [0, 0, 0, 0]), result(0.25, [0, 0, 0, 0]));
  expect(found).toMatchObject([{ difference: -0.25, how: "independent", standardError: Math.hypot(0.3, 0.3) }]);
});

it("means over shares of images are compared image by image, by their names", () => {
  const sharing = (value: number, shares: readonly number[]) => ({
    scores: [{ name: "accuracy, 1 per class", value, standardError: 0.3, images: 4 }],
    parts: { kind: "shares" as const, shares: new Map([["accuracy, 1 per class", Float64Array.from(shares)]]) },
  });
  const [before, after] = [sharing(0.25, [0, 0.5, 0.5, 0]), sharing(0.625, [0.5, 1, 0.5, 0.5])];
  // The differences 1/2, 1/2, 0 and 1/2 deviate by 1/4.
  const [found] = differencesOf(before, after);
  expect(found).toEqual({ name: "accuracy, 1 per class", difference: 0.375, standardError: 0.25 / 2, how: "paired" });
  const others = { ...after, parts: { ...after.parts, shares: new Map([["accuracy", Float64Array.of(0, 0, 0, 0)]]) } };
  expect(differencesOf(before, others)).toMatchObject([{ how: "independent", standardError: Math.hypot(0.3, 0.3) }]);
});
