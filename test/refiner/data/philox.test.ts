import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { epochOrder } from "../../../refiner/data/batches/permutation.ts";
import { philox, RandomStream } from "../../../refiner/data/batches/shuffle_random.ts";

describe("philox", () => {
  // Known answers published with the Random123 library (kat_vectors, philox4x32 10).
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ] as const)("maps counter %j with key %j to the published words", (counter, key, words) => {
    expect(philox(counter, key)).toEqual(words);
  });
});

describe("RandomStream", () => {
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
