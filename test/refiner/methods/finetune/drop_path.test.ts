import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { pairedOrder } from "../../../../refiner/methods/finetune/batch_order.ts";
import { DropPath, dropPathRates, dropPathRule, tableColumns } from "../../../../refiner/methods/finetune/drop_path.ts";

const identity = (length: number): Uint32Array => Uint32Array.from({ length }, (_, i) => i);

/** Rows of a table of factors. */
function rowsOf(table: Float32Array, columns: number): number[][] {
  return Array.from({ length: table.length / columns }, (_, row) => [
    ...table.subarray(row * columns, (row + 1) * columns),
  ]);
}

describe("drop path", () => {
  it("grows evenly from 0 at the first block to the rate at the last", () => {
    expect([...dropPathRates(0.3, 4)]).toEqual(
      [0, 0.1, 0.2, 0.3].map(Math.fround).map((rate) => expect.closeTo(rate, 7)),
    );
    expect([...dropPathRates(0.3, 1)]).toEqual([0]);
    expect([...dropPathRates(0, 3)]).toEqual([0, 0, 0]);
  });

  it("counts in float64 from a rate in float32: of 6 samples 3 stay at a third", () => {
    expect(dropPathRule(6, Math.fround(1 / 3), "exact")).toEqual({ rule: "exact count", kept: 3, scale: 2 });
    expect(dropPathRule(6, Math.fround(1 / 3), "as-published").rule).toBe("per sample");
    expect(dropPathRule(8, 0.25, "as-published")).toEqual({ rule: "exact count", kept: 6, scale: 8 / 6 });
    expect(dropPathRule(2, 0.9, "exact").kept).toBe(1); // at least one
  });

  it("is the exact count from 100 samples on, in both forms", () => {
    for (let batch = 100; batch < 400; batch++)
      for (const rate of [0.05, 0.1, 1 / 3, 0.77])
        expect(dropPathRule(batch, Math.fround(rate), "as-published").rule).toBe("exact count");
  });

  it("keeps exactly as many samples of every branch as it says, others in every branch and update", () => {
    const dropPath = new DropPath(0.5, 3, 16, "exact");
    const draws = [0, 1].map((step) => rowsOf(dropPath.draw({ seed: 1, step }, identity(16)), 16));
    for (const rows of draws) {
      expect(rows).toHaveLength(4);
      expect(rows.map((row) => row.filter((factor) => factor > 0).length)).toEqual([12, 12, 8, 8]);
      expect(rows.flatMap((row) => row.filter((factor) => factor > 0))).toEqual([
        ...new Array<number>(24).fill(Math.fround(16 / 12)),
        ...new Array<number>(16).fill(2),
      ]);
    }
    expect(new Set(draws.flat().map((row) => row.join())).size).toBe(8);
  });

  it("draws samples one by one where the published form does, with the mean of the exact one", () => {
    const dropPath = new DropPath(0.3, 2, 7, "as-published");
    const factors = Array.from({ length: 500 }, (_, step) => [...dropPath.draw({ seed: 2, step }, identity(7))]).flat();
    const mean = factors.reduce((sum, factor) => sum + factor, 0) / factors.length;
    // A factor is 0 or 1 / 0.7, so its variance is 0.3 / 0.7.
    expect(Math.abs(mean - 1)).toBeLessThan(5 * Math.sqrt(0.3 / 0.7 / factors.length));
    expect(new Set(factors)).toEqual(new Set([0, Math.fround(1 / (1 - Math.fround(0.3)))]));
  });

  it("draws for the batch, whatever the order of its samples", () => {
    const dropPath = new DropPath(0.4, 3, 8, "exact");
    const order = pairedOrder(8, 4);
    const plain = rowsOf(dropPath.draw({ seed: 3, step: 5 }, identity(8)), 8);
    const sorted = rowsOf(dropPath.draw({ seed: 3, step: 5 }, order), 8);
    expect(sorted).toEqual(plain.map((row) => Array.from(order, (place) => row[place])));
  });

  it("gives a micro-batch its columns", () => {
    const table = Float32Array.from({ length: 12 }, (_, i) => i);
    expect(rowsOf(tableColumns(table, 6, 2, 3), 3)).toEqual([
      [2, 3, 4],
      [8, 9, 10],
    ]);
  });
});

describe("the order of a batch in micro-batches", () => {
  it("holds every sample once and whole pairs in every part", () => {
    const sizes = fc.record({ batch: fc.integer({ min: 1, max: 40 }), part: fc.integer({ min: 1, max: 45 }) });
    fc.assert(
      fc.property(sizes, ({ batch: half, part: halfPart }) => {
        const [batch, part] = [2 * half, 2 * halfPart];
        const order = [...pairedOrder(batch, part)];
        expect([...order].sort((a, b) => a - b)).toEqual([...identity(batch)]);
        for (let first = 0; first < batch; first += part) {
          const places = order.slice(first, first + part);
          expect([...places].reverse()).toEqual(places.map((place) => batch - 1 - place));
        }
      }),
    );
  });

  it("is the batch's own where it is one part", () => {
    expect(pairedOrder(10, 10)).toEqual(identity(10));
  });
});
