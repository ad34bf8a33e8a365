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
