import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nearestSources } from "../../../../refiner/data/masks/nearest.ts";
import { WindowPlan, windowStarts } from "../../../../refiner/evaluation/segmentation/windows.ts";

const sizes = fc.record({
  height: fc.integer({ min: 1, max: 40 }),
  width: fc.integer({ min: 1, max: 40 }),
  side: fc.integer({ min: 2, max: 17 }),
  patches: fc.integer({ min: 1, max: 4 }),
  strideOf: fc.integer({ min: 1, max: 17 }),
});

describe("windowStarts", () => {
  it("covers every pixel, never leaves an image that is large enough, and moves the last window only", () => {
    fc.assert(
      fc.property(sizes, ({ height, side, strideOf }) => {
        const stride = Math.min(side, strideOf);
        const starts = windowStarts(height, side, stride);
        expect(starts[0]).toBe(0);
        for (const [i, start] of starts.entries()) {
          if (i < starts.length - 1) expect(start).toBe(i * stride);
          expect(start + side).toBeLessThanOrEqual(Math.max(side, height));
        }
        expect((starts.at(-1) ?? 0) + side).toBeGreaterThanOrEqual(height);
      }),
    );
  });
});

describe("WindowPlan", () => {
  it("gives each pixel the mean of its windows, as one would compute it pixel by pixel", () => {
    fc.assert(
      fc.property(sizes, fc.integer({ min: 0, max: 1000 }), ({ height, width, side, patches, strideOf }, seed) => {
        const stride = Math.min(side, strideOf);
        const size = { heightPixels: side, widthPixels: side, strideRows: stride, strideColumns: stride };
        const plan = new WindowPlan(height, width, { ...size, rows: patches, columns: patches });
        const count = plan.windows.length * patches * patches * heads * classes;
        const values = Array.from({ length: count }, (_, i) => Math.sin(seed + i * i));
        const means = plan.average({ values, heads, head, classes });
        const predicted = plan.classes({ values, heads, head, classes });
        const found = [...plan.cellOfPixels()].map((cell) => ({
          means: [...means.slice(cell * classes, (cell + 1) * classes)],
          predicted: predicted[cell],
        }));
        for (const [pixel, { means, predicted }] of found.entries()) {
          const expected = meanOfPixel(plan, values, Math.floor(pixel / width), pixel % width);
          expect(Math.max(...means.map((mean, c) => Math.abs(mean - (expected[c] ?? Number.NaN))))).toBeLessThan(1e-12);
          expect(predicted).toBe(means.indexOf(Math.max(...means)));
        }
      }),
      { numRuns: 30 },
    );
  }, 60_000);
});

const [classes, heads, head] = [3, 2, 1];

function meanOfPixel({ windows, size }: WindowPlan, values: readonly number[], y: number, x: number): number[] {
  const { heightPixels: side, rows: patches } = size;
  const patchOf = nearestSources(side, patches);
  const seen = [...windows.entries()].filter(
    ([, { top, left }]) => y >= top && x >= left && y < top + side && x < left + side,
  );
  return Array.from({ length: classes }, (_, c) => {
    const logits = seen.map(([window, { top, left }]) => {
      const patch = (patchOf[y - top] ?? 0) * patches + (patchOf[x - left] ?? 0);
      return values[((window * patches * patches + patch) * heads + head) * classes + c] ?? Number.NaN;
    });
    return logits.reduce((sum, value) => sum + value, 0) / seen.length;
  });
}
