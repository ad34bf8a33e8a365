import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  hostBits,
  hostNormal,
  hostPermutation,
  hostUniform,
  type PhiloxBlock,
  philox,
} from "../../../engine/core/host_random.ts";
import { DTypeError, OptionError, recordProgram } from "../../../engine/index.ts";
import { normal, permutation, randomBits, uniform } from "../../../engine/ops/random.ts";
import { oddLength, roundOff } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });
const keys = fc.record({
  seed: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  purpose: fc.oneof(fc.string(), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
  step: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
});

// Known answers of Random123 (kat_vectors, philox4x32 with 10 rounds): zeros, ones, digits of π.
const knownAnswers: readonly [PhiloxBlock, readonly [number, number], PhiloxBlock][] = [
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
];

it.each(knownAnswers)("philox of %j under %j is the published answer", (counter, key, answer) => {
  expect(philox(counter, key)).toEqual(answer);
});

describe("the device draws", () => {
  it("the words and uniform numbers of the host, bit for bit", async () => {
    await fc.assert(
      fc.asyncProperty(keys, oddLength(257), async (key, count) => {
        const recorded = recordProgram(device, (p) => ({
          bits: randomBits(p, [count], key),
          numbers: uniform(p, [count], key),
        }));
        const { bits, numbers } = await (await recorded.run({}, ["bits", "numbers"])).read();
        recorded.destroy();
        expect(bits).toEqual(hostBits(count, key));
        expect(numbers).toEqual(hostUniform(count, key));
      }),
      { numRuns: 20 },
    );
  });

  it("the normal numbers of the host up to rounding", async () => {
    await fc.assert(
      fc.asyncProperty(keys, async (key) => {
        const recorded = recordProgram(device, (p) => ({ y: normal(p, [4099], key) }));
        const { y } = await (await recorded.run({}, ["y"])).read();
        recorded.destroy();
        const expected = hostNormal(4099, key);
        // ln, root, angle, series and product: about 16 roundings of numbers of at most sqrt(-2 ln 2^-24) < 5.8
        y.forEach((value, i) => {
          expect(Math.abs(value - (expected[i] ?? 0))).toBeLessThan(5.8 * 2 * 16 * roundOff);
        });
      }),
      { numRuns: 5 },
    );
  });

  it("permutations whose rank is the inverse and whose first row is the host's", async () => {
    await fc.assert(
      fc.asyncProperty(keys, oddLength(7), oddLength(197), async (key, rows, length) => {
        const recorded = recordProgram(device, (p) => permutation(p, [rows, length], key));
        const { order, rank } = await (await recorded.run({}, ["order", "rank"])).read();
        recorded.destroy();
        expect(order.slice(0, length)).toEqual(hostPermutation(length, key));
        for (let row = 0; row < rows; row++) {
          const items = order.slice(row * length, (row + 1) * length);
          expect([...items].sort((a, b) => a - b)).toEqual(Array.from({ length }, (_, i) => i));
          items.forEach((item, place) => {
            expect(rank[row * length + item]).toBe(place);
          });
        }
      }),
      { numRuns: 20 },
    );
  });

  it("new numbers on every replay if the step is an input", async () => {
    const recorded = recordProgram(device, (p) => ({
      y: uniform(p, [5], { seed: 3, purpose: "test", step: p.input("step", [1], "u32") }),
    }));
    for (const step of [0, 1, 4294967295]) {
      const { y } = await (await recorded.run({ step: new Uint32Array([step]) }, ["y"])).read();
      expect(y).toEqual(hostUniform(5, { seed: 3, purpose: "test", step }));
    }
  });

  it("finite normal numbers from the smallest and the largest words", async () => {
    // 2^18 numbers hold words within 2^-17 of both ends, where ln and the angle are delicate
    const recorded = recordProgram(device, (p) => ({ y: normal(p, [2 ** 18], { seed: 1, purpose: "ends" }) }));
    const { y } = await (await recorded.run({}, ["y"])).read();
    expect(y.every((value) => Math.abs(value) < 5.8)).toBe(true);
  });
});

describe("the host draws", () => {
  const count = 2 ** 16;
  it("uniform numbers of mean 1/2 and variance 1/12", () => {
    const [mean, variance] = moments(hostUniform(count, { seed: 9, purpose: "moments" }));
    // five standard errors: sqrt(1/12/n), and sqrt((1/80 - 1/144)/n)
    expect(Math.abs(mean - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / count));
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(5 * Math.sqrt((1 / 80 - 1 / 144) / count));
  });

  it("normal numbers of mean 0 and variance 1", () => {
    const [mean, variance] = moments(hostNormal(count, { seed: 9, purpose: "moments" }));
    expect(Math.abs(mean)).toBeLessThan(5 / Math.sqrt(count));
    expect(Math.abs(variance - 1)).toBeLessThan(5 * Math.sqrt(2 / count));
  });

  it("other numbers for another seed, purpose or step", () => {
    const key = { seed: 1, purpose: "a", step: 1 };
    const first = (other: object): number => hostBits(1, { ...key, ...other })[0] ?? 0;
    const words = [
      first({}),
      first({ seed: 2 }),
      first({ seed: 1 + 2 ** 32 }),
      first({ purpose: "b" }),
      first({ step: 2 }),
    ];
    expect(new Set(words).size).toBe(words.length);
  });

  it("the same first numbers whatever the count", () => {
    const key = { seed: 1, purpose: "prefix" };
    expect(hostNormal(7, key)).toEqual(hostNormal(100, key).slice(0, 7));
  });
});

it("refuses seeds, purposes and steps that are not what they should be", () => {
  expect(() => hostBits(1, { seed: -1, purpose: "x" })).toThrow(
    "random: the seed -1 is not an integer in 0 … 2⁵³ - 1; choose one",
  );
  expect(() => hostBits(1, { seed: 0, purpose: 0.5 })).toThrow(OptionError);
  const step = device.tensor([1], [1], "f32");
  expect(() => recordProgram(device, (p) => ({ y: uniform(p, [1], { seed: 0, purpose: 0, step }) }))).toThrow(
    DTypeError,
  );
});

function moments(values: Float32Array): [mean: number, variance: number] {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return [mean, values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length];
}
