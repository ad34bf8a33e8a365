import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { epochOrder } from "../../../refiner/data/batches/permutation.ts";
import { RandomStream } from "../../../refiner/data/batches/shuffle_random.ts";

describe("RandomStream", () => {
  // Written down from version 0.1.0: a run is resumed in the order that it began with.
  it("draws the words that it has always drawn", () => {
    const random = new RandomStream(2 ** 33 + 1, "k-means", 9);
    const words = [4269931250, 4107720916, 3918595834, 4176869975, 1842357223, 1141650438];
    expect(Array.from({ length: 6 }, () => random.word())).toEqual(words);
  });

  it("draws normal numbers of mean 0 and variance 1", () => {
    const random = new RandomStream(3, "k-means");
    const drawn = Array.from({ length: 20000 }, () => random.normal());
    const mean = drawn.reduce((sum, value) => sum + value, 0) / drawn.length;
    const variance = drawn.reduce((sum, value) => sum + (value - mean) ** 2, 0) / drawn.length;
    expect(Math.abs(mean)).toBeLessThan(0.03); // 4 standard errors of 1/√20000
    expect(Math.abs(variance - 1)).toBeLessThan(0.04); // 4 standard errors of √(2/20000)
  });
});

describe("epochOrder", () => {
  // Written down from version 0.1.0.
  it.each([
    [7, 3, [11, 9, 10, 2, 6, 4, 3, 0, 8, 5, 7, 1]],
    [2 ** 40 + 5, 1, [10, 11, 3, 8, 1, 0, 2, 6, 4, 5, 7, 9]],
  ])("is the one that it has always been for seed %i and epoch %i", (seed, epoch, order) => {
    expect([...epochOrder(12, seed, epoch)]).toEqual(order);
  });

  it("is a permutation", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.nat(), fc.nat(1000), (length, seed, epoch) => {
        const sorted = [...epochOrder(length, seed, epoch)].sort((a, b) => a - b);
        expect(sorted).toEqual(Array.from({ length }, (_, index) => index));
      }),
      { numRuns: 50 },
    );
  });

  it("puts each image in each place equally often", () => {
    const counts = new Float64Array(16);
    const epochs = 8000;
    for (let epoch = 0; epoch < epochs; epoch++) {
      epochOrder(4, 7, epoch).forEach((index, place) => {
        counts[place * 4 + index] = (counts[place * 4 + index] ?? 0) + 1;
      });
    }
    // Binomial with p = 1/4: standard deviation √(8000·3/16) = 38.7; five of them.
    for (const count of counts) expect(Math.abs(count - epochs / 4)).toBeLessThan(194);
  });

  it("differs between epochs and between seeds beyond 32 bits", () => {
    const order = epochOrder(50, 1, 0);
    expect(epochOrder(50, 1, 1)).not.toEqual(order);
    expect(epochOrder(50, 1 + 2 ** 32, 0)).not.toEqual(order);
  });
});
