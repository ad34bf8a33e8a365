import { expect, it } from "vitest";
import { imagesInMemory } from "../../../refiner/data/index.ts";
import { heldOut } from "../../../refiner/data/sources/held_out.ts";

function numbers(count: number) {
  return imagesInMemory(
    Array.from({ length: count }, () => ({ width: 1, height: 1, channels: 1 as const, data: new Uint8Array(1) })),
    { labels: Array.from({ length: count }, (_, i) => i) },
  );
}

it.each([
  [12, [0, 5, 10]],
  [5, [0]],
  [1, [0]],
])("of %i images holds out every fifth from the first, and none of them is trained on", (count, expected) => {
  const { train, test } = heldOut(numbers(count));
  const held = Array.from({ length: test.length }, (_, i) => test.label(i));
  const trained = Array.from({ length: train.length }, (_, i) => train.label(i));
  expect(held).toEqual(expected);
  expect([...held, ...trained].sort((a, b) => (a ?? 0) - (b ?? 0))).toEqual(Array.from({ length: count }, (_, i) => i));
});
