import { expect, it } from "vitest";
import { fixedPart } from "../../../refiner/methods/fixed_parts.ts";

const settings = { reproducible: true, batch: 64, gradientPart: 0 };

it("is a quarter of the batch, or the largest divisor below it", () => {
  const parts = [64, 6, 7, 3, 1, 50].map((batch) => fixedPart("refine", { ...settings, batch }));
  expect(parts).toEqual([16, 1, 1, 1, 1, 10]);
  expect(fixedPart("finetune", { ...settings, batch: 50 }, { multiple: 2 })).toBe(10);
  expect(fixedPart("finetune", { ...settings, batch: 6 }, { multiple: 2 })).toBe(6); // no pair is a quarter of three
  expect(fixedPart("refine", { ...settings, reproducible: false })).toBeUndefined();
});

it.each([
  [{ gradientPart: 12 }, /refine: gradientPart 12 is no size that divides the batch of 64; use 8 or 16/],
  [{ gradientPart: 65 }, /use 64$/],
  [{ microBatch: 24 }, /refine: microBatch 24 is not made of parts of 16 images \(gradientPart\); use 16 or 32/],
  [{ microBatch: 8 }, /use 16$/],
  [{ reproducible: false, gradientPart: 16 }, /gradientPart 16 needs reproducible; set it, or gradientPart 0/],
])("refuses %o by the nearest sizes", (change, message) => {
  expect(() => fixedPart("refine", { ...settings, ...change })).toThrow(message);
});
