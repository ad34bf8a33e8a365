import fc from "fast-check";
import { expect, it } from "vitest";
import { cast, OptionError, sort, sum, topK } from "../../../engine/index.ts";
import { valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });
const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

/** Places of a line in order, equal elements by their place. */
function order(line: readonly number[], descending: boolean): number[] {
  const rank = (value: number) => (Number.isNaN(value) ? inf : value);
  return line
    .map((_, i) => i)
    .sort((a, b) => {
      const [left = 0, right = 0] = descending ? [line[b], line[a]] : [line[a], line[b]];
      const nans = Number(Number.isNaN(left)) - Number(Number.isNaN(right));
      const both = rank(left) === rank(right) ? nans : rank(left) - rank(right);
      return both || a - b;
    });
}

it("sorts lines along any axis as the host does, equal elements by their place", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<number[]>([1], [7], [3, 1024], [2, 1025], [5000], [17, 3], [4, 2, 33]),
      fc.nat(2),
      fc.boolean(),
      fc.integer(),
      async (shape, wanted, descending, seed) => {
        const axis = wanted % shape.length;
        const size = shape.reduce((product, length) => product * length, 1);
        const data = valuesOf("normal", seed, size).map((value) => Math.round(8 * value) / 4); // many are equal
        data[seed % 2 === 0 ? 0 : size - 1] = nan;
        const { values, indices } = sort(device.tensor(data, shape), { axis, descending });
        const [found, places] = [await values.read(), await indices.read()];
        const inner = shape.slice(axis + 1).reduce((product, length) => product * length, 1);
        const length = shape[axis] ?? 1;
        for (let line = 0; line < size / length; line++) {
          const first = Math.floor(line / inner) * length * inner + (line % inner);
          const given = Array.from({ length }, (_, n) => data[first + n * inner] ?? nan);
          const expected = order(given, descending);
          expect(expected.map((_, n) => places[first + n * inner])).toEqual(expected);
          expect(expected.map((_, n) => found[first + n * inner])).toEqual(expected.map((n) => given[n]));
        }
      },
    ),
    { numRuns: 12 },
  );
});

it.each([
  [1, 5],
  [20, 3000],
  [512, 5000],
  [700, 2500],
])("the %i largest of %i are the first of the sorted ones", async (k, length) => {
  const data = valuesOf("normal", k, 2 * length);
  const { values, indices } = topK(device.tensor(data, [2, length]), k);
  const [found, places] = [await values.read(), await indices.read()];
  for (const row of [0, 1]) {
    const given = [...data.subarray(row * length, (row + 1) * length)];
    const expected = order(given, true).slice(0, k);
    expect([...places.subarray(row * k, (row + 1) * k)]).toEqual(expected);
    expect([...found.subarray(row * k, (row + 1) * k)]).toEqual(expected.map((n) => given[n]));
  }
});

it("NaN is larger than infinity, and -0 equals 0", async () => {
  const x = device.tensor([0, inf, nan, -inf, -0, 1]);
  expect([...(await sort(x).indices.read())]).toEqual([3, 0, 4, 5, 1, 2]);
  expect([...(await sort(x, { descending: true }).indices.read())]).toEqual([2, 1, 5, 0, 4, 3]);
  expect([...(await topK(x, 2, { smallest: true }).indices.read())]).toEqual([3, 0]);
});

it("sorts integers by their own order", async () => {
  const signed = device.tensor(Int32Array.of(3, -2147483648, 2147483647, -1), [4], "i32");
  expect([...(await sort(signed).values.read())]).toEqual([-2147483648, -1, 3, 2147483647]);
  const unsigned = device.tensor(Uint32Array.of(3, 4294967295, 0), [3], "u32");
  expect([...(await sort(unsigned, { descending: true }).values.read())]).toEqual([4294967295, 3, 0]);
});

it.skipIf(!device.features.has("shader-f16"))("sorts half precision", async () => {
  const x = cast(device.tensor([2, -1, 0.5]), "f16");
  expect([...(await cast(sort(x).values, "f32").read())]).toEqual([-1, 0.5, 2]);
});

it("the gradient goes to where the values came from", async () => {
  const x = device.tensor([3, 1, 2, 5, 4, 6], [2, 3]);
  const { values } = topK(x, 2);
  const [dx = x] = values.program.gradients(sum(values), [x]);
  expect([...(await dx.read())]).toEqual([1, 0, 1, 1, 0, 1]);
});

it("names a k that the axis does not hold", () => {
  expect(() => topK(device.zeros([4]), 5)).toThrow(
    new OptionError("topK: k is 5, expected 1 … 4, the length of the axis"),
  );
});
