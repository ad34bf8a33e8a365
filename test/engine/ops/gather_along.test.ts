import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  cast,
  gatherAlong,
  IndexError,
  mul,
  ShapeError,
  scatterAddAlong,
  scatterAlong,
  sum,
} from "../../../engine/index.ts";
import { valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });
const cases = fc.record({
  outer: fc.constantFrom(1, 2, 5),
  inner: fc.constantFrom(1, 3, 8),
  length: fc.constantFrom(1, 4, 70),
  count: fc.constantFrom(1, 3, 90),
  seed: fc.integer(),
});
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

function drawn({ outer, inner, length, count, seed }: Case) {
  const x = valuesOf("normal", seed, outer * length * inner);
  const values = valuesOf("normal", seed + 1, outer * count * inner);
  const indices = Uint32Array.from(values, (_, i) => (Math.imul(i + 1, seed | 1) >>> 3) % length);
  /** Of element i of the values: its own place and that of its index in x. */
  const places = Array.from(
    values,
    (_, i) => [i, (Math.floor(i / inner / count) * length + (indices[i] ?? 0)) * inner + (i % inner)] as const,
  );
  const shape = [outer, count, inner];
  return {
    x,
    values,
    places,
    tensors: {
      x: device.tensor(x, [outer, length, inner]),
      values: device.tensor(values, shape),
      indices: device.tensor(indices, shape, "u32"),
    },
  };
}

describe("along an axis", () => {
  it("gatherAlong takes each element from where its index says, and its gradient goes back there", async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (one) => {
        const { x, values, places, tensors } = drawn(one);
        const y = gatherAlong(tensors.x, tensors.indices, 1);
        const [dx = tensors.x] = y.program.gradients(sum(mul(y, tensors.values)), [tensors.x]);
        const [found, slopes] = [await y.read(), await dx.read()];
        expect([...found]).toEqual(places.map(([, from]) => x[from]));
        const expected = new Float32Array(x.length);
        for (const [i, from] of places) expected[from] = (expected[from] ?? 0) + (values[i] ?? 0);
        expect([...slopes]).toEqual([...expected]); // added in the same order: the same bits
      }),
      { numRuns: 12 },
    );
  });

  it("scatterAddAlong adds in order, and scatterAlong keeps the last", async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (one) => {
        const { x, values, places, tensors } = drawn(one);
        const [sums, kept] = [new Float32Array(x.length), x.slice()];
        for (const [i, to] of places) {
          sums[to] = (sums[to] ?? 0) + (values[i] ?? 0);
          kept[to] = values[i] ?? 0;
        }
        expect([...(await scatterAddAlong(tensors.indices, tensors.values, one.length, 1).read())]).toEqual([...sums]);
        expect([...(await scatterAlong(tensors.x, tensors.indices, tensors.values, 1).read())]).toEqual([...kept]);
      }),
      { numRuns: 12 },
    );
  });
});

it("what scatterAlong replaced has no gradient", async () => {
  const [x, values] = [device.tensor([1, 2, 3]), device.tensor([7])];
  const y = scatterAlong(x, device.tensor(Uint32Array.of(1), [1], "u32"), values);
  const [dx = x, dValues = x] = y.program.gradients(sum(mul(y, device.tensor([1, 10, 100]))), [x, values]);
  expect([...(await y.read())]).toEqual([1, 7, 3]);
  expect([...(await dx.read())]).toEqual([1, 0, 100]);
  expect([...(await dValues.read())]).toEqual([10]);
});

it("an index outside becomes an error at the next read", async () => {
  const x = device.tensor([1, 2, 3]);
  const indices = device.tensor(Int32Array.of(0, -1), [2], "i32");
  await expect(gatherAlong(x, indices).read()).rejects.toThrow(IndexError);
  await expect(scatterAlong(x, indices, device.tensor([4, 5])).read()).rejects.toThrow(IndexError);
});

it.skipIf(!device.features.has("shader-f16"))("moves half precision", async () => {
  const x = cast(device.tensor([1, 2, 3, 4], [2, 2]), "f16");
  const indices = device.tensor(Uint32Array.of(1, 1), [2, 1], "u32");
  expect([...(await cast(gatherAlong(x, indices), "f32").read())]).toEqual([2, 4]);
});

it("names shapes that do not fit", () => {
  expect(() => gatherAlong(device.zeros([2, 3]), device.zeros([3, 3], "u32"))).toThrow(
    new ShapeError("gatherAlong: indices has shape [3, 3], expected [2, 3]"),
  );
});
