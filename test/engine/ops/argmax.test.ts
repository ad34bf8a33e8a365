import fc from "fast-check";
import { expect, it } from "vitest";
import { AxisError, DTypeError } from "../../../engine/index.ts";
import { argmax } from "../../../engine/ops/argmax.ts";
import { oddLength, randomSource } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });

it("finds the first largest element along any axis", async () => {
  const drawn = fc.record({
    shape: fc.tuple(oddLength(9), oddLength(131), oddLength(9)),
    axis: fc.integer({ min: -3, max: 2 }),
    seed: fc.integer(),
  });
  await fc.assert(
    fc.asyncProperty(drawn, async ({ shape, axis, seed }) => {
      const random = randomSource(seed);
      // few values, so that ties are common; all below 0, so that a start value of 0 would show
      const x = Float32Array.from({ length: shape[0] * shape[1] * shape[2] }, () => Math.floor(6 * random()) - 10);
      const at = axis < 0 ? axis + 3 : axis;
      const y = argmax(device.tensor(x, shape), axis);
      expect(y.shape).toEqual(shape.filter((_, i) => i !== at));
      const inner = shape.slice(at + 1).reduce((product, length) => product * length, 1);
      const length = shape[at] ?? 1;
      const expected = Array.from({ length: x.length / length }, (_, output) => {
        const first = Math.floor(output / inner) * length * inner + (output % inner);
        const values = Array.from({ length }, (_, n) => x[first + n * inner] ?? 0);
        return values.indexOf(Math.max(...values));
      });
      expect([...(await y.read())]).toEqual(expected);
    }),
    { numRuns: 20 },
  );
});

it("works beyond one grid of threads", async () => {
  const rows = 70_001; // over 64 · 1024 outputs
  const x = Float32Array.from({ length: 2 * rows }, (_, i) => (i % 2 === Math.floor(i / 2) % 2 ? 1 : 0));
  const y = await argmax(device.tensor(x, [rows, 2])).read();
  expect(y.every((place, row) => place === row % 2)).toBe(true);
});

it("refuses a wrong axis and integers", () => {
  expect(() => argmax(device.tensor([1, 2]), 1)).toThrow(AxisError);
  expect(() => argmax(device.tensor([1, 2], [2], "u32"))).toThrow(DTypeError);
});
