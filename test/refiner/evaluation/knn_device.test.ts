import { describe, expect, it } from "vitest";
import {
  type FeatureMatrix,
  knnAccuracy,
  knnPredictions,
  NeighbourBank,
  unitRows,
} from "../../../refiner/evaluation/index.ts";
import { testDevice } from "../../device.ts";
import { cosineTopK } from "../../reference/cosine_top_k.ts";

const device = await testDevice();

/** Reproducible values in [-1, 1). */
function matrix(rows: number, columns: number, seed: number): FeatureMatrix {
  let state = seed >>> 0;
  const data = Float32Array.from({ length: rows * columns }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  return { rows, columns, data };
}

describe("NeighbourBank", () => {
  it.each([
    ["one chunk of queries", 7, 5],
    ["several chunks, the last one short", 2049, 3],
    ["more neighbours than one search lists", 5, 300],
  ])("finds the rows of the reference for %s", async (_, queryCount, k) => {
    const bank = matrix(700, 9, 1);
    const queries = matrix(queryCount, 9, 2);
    const search = new NeighbourBank(device, bank, k);
    const found = await search.search(queries);
    search.destroy();
    const expected = cosineTopK(unitRows(queries).data, unitRows(bank).data, 9, k);
    // Similarities below 1: products and norms of 9 terms, one division each: 24 roundings of 2⁻²⁴.
    const tolerance = 24 * 2 ** -24;
    let worst = 0;
    expected.similarities.forEach((similarity, at) => {
      worst = Math.max(worst, Math.abs(similarity - (found.similarities[at] ?? 2)));
    });
    expect(worst).toBeLessThan(tolerance);
    const other = [...expected.indices].filter((index, at) => index !== found.indices[at]).length;
    expect(other / expected.indices.length).toBeLessThan(0.001); // only near-ties may change places
  });

  it("frees its memory on the device", async () => {
    const search = new NeighbourBank(device, matrix(64, 4, 3), 1);
    await search.search(matrix(2, 4, 4));
    search.destroy();
    const again = new NeighbourBank(device, matrix(64, 4, 3), 1);
    await expect(again.search(matrix(2, 4, 4))).resolves.toMatchObject({ k: 1 });
    again.destroy();
  });

  it("takes device memory for the bank and one chunk of queries, however many queries there are", async () => {
    const bank = matrix(4000, 32, 6);
    const bytesFor = async (queries: number): Promise<number> => {
      const before = device.counters.bytes;
      const search = new NeighbourBank(device, bank, 20);
      await search.search(matrix(queries, 32, 7));
      const taken = device.counters.bytes - before;
      search.destroy();
      return taken;
    };
    const one = await bytesFor(1024);
    const many = await bytesFor(5 * 1024);
    expect(one).toBeGreaterThanOrEqual(4 * 4000 * 32);
    expect(many).toBeLessThanOrEqual(one); // less: buffers for reading back are used again
    expect(many).toBeLessThan(4 * 4000 * 5 * 1024); // all similarities
  });

  it("names the row of a feature that is not finite", () => {
    const damaged = matrix(4, 3, 5);
    damaged.data[7] = Number.NaN;
    expect(() => new NeighbourBank(device, damaged, 1)).toThrow(/row 2 of the bank holds NaN/);
  });

  it("refuses more neighbours than rows", () => {
    expect(() => new NeighbourBank(device, matrix(4, 3, 5), 5)).toThrow(/k is 5 for a bank of 4 rows; choose 1 … 4/);
  });

  it("refuses queries of another width", async () => {
    const search = new NeighbourBank(device, matrix(4, 3, 5), 1);
    await expect(search.search(matrix(1, 2, 5))).rejects.toThrow(/width 2 for a bank of width 3/);
    search.destroy();
  });
});

describe("k-NN on the device", () => {
  // Two classes along opposite directions; the first dimension is large and says nothing.
  const data = (rows: number) =>
    Float32Array.from({ length: rows * 2 }, (_, at) => {
      const row = Math.floor(at / 2);
      return at % 2 === 0 ? 1000 + (row % 7) : row % 2 === 0 ? 1 : -1;
    });
  const labelled = (rows: number) => ({
    features: { rows, columns: 2, data: data(rows) },
    labels: Array.from({ length: rows }, (_, row) => row % 2),
  });

  it("needs standardised features where one dimension dominates", async () => {
    expect(await knnAccuracy(device, labelled(40), labelled(9), { k: 3 })).toBe(1);
  });

  it("ignores training rows without a label in the vote", async () => {
    const train = labelled(40);
    const labels = train.labels.map((label, row) => (row < 20 ? -1 : label));
    const predicted = await knnPredictions(device, { ...train, labels }, labelled(4).features, { k: 20 });
    expect([...predicted]).toEqual([0, 1, 0, 1]);
  });

  it("says which part has no labels", async () => {
    const unlabelled = { ...labelled(4), labels: [-1, -1, -1, -1] };
    await expect(knnAccuracy(device, labelled(4), unlabelled, { k: 1 })).rejects.toThrow(/no test image has a label/);
  });
});
