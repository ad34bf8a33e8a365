import { expect, test } from "vitest";
import { geometricMean, meanOfMedians, median, quantile } from "./rivals/statistics.mjs";

test("quantiles lie between neighbours by proportion, whatever the order of the values", () => {
  expect(quantile([40, 10, 30, 20], 0.25)).toBe(17.5);
  expect(quantile([3], 0.9)).toBe(3);
  expect(median([5, 1, 9])).toBe(5);
  expect(median([4, 1, 9, 2])).toBe(3);
});

test("a work twice as slow and one twice as fast have the geometric mean 1", () => {
  expect(geometricMean([2, 0.5])).toBeCloseTo(1, 15);
});

test("one disturbed round of seven moves neither the median nor the mean of medians", () => {
  const quiet = [1, 1.01, 0.99, 1, 1.01, 0.99, 1];
  const disturbed = [...quiet.slice(1), 5];
  expect(meanOfMedians([quiet, disturbed])?.mean).toBeCloseTo(1, 2);
});

test("the range of the mean holds it, is a point without noise, and grows with the noise", () => {
  expect(meanOfMedians([[1.5, 1.5, 1.5]])).toEqual({ mean: 1.5, low: 1.5, high: 1.5 });
  const width = (noise: number) => {
    const works = [0, 1, 2].map((work) => Array.from({ length: 8 }, (_, i) => 1 + noise * Math.sin(7 * i + work)));
    const found = meanOfMedians(works);
    if (!found) throw new Error("no mean of three works");
    expect(found.low).toBeLessThanOrEqual(found.mean);
    expect(found.high).toBeGreaterThanOrEqual(found.mean);
    return found.high - found.low;
  };
  expect(width(0.2)).toBeGreaterThan(3 * width(0.02));
  expect(meanOfMedians([])).toBeUndefined();
});
