import fc from "fast-check";
import { expect, it } from "vitest";
import { OptionError, recordProgram, ShapeError } from "../../../engine/index.ts";
import { gradientNorm } from "../../../engine/optimizers/gradient_norm.ts";
import { expectClose, toleranceOf, valueKind, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });

async function normOf(...gradients: readonly Float32Array[]) {
  const step = recordProgram(device, (p) => ({
    ...gradientNorm(
      p,
      gradients.map((data) => device.tensor(data)),
    ),
  }));
  const values = await (await step.run({}, ["norm", "nonFinite"])).read();
  step.destroy();
  return { norm: values.norm, nonFinite: values.nonFinite[0] };
}

it("the norm of several chunks is that of all their elements together", async () => {
  const size = fc.constantFrom(4, 60, 64, 4096, 4100, 20000);
  await fc.assert(
    fc.asyncProperty(size, size, valueKind, fc.integer(), async (a, b, kind, seed) => {
      const [first, second] = [valuesOf(kind, seed, a), valuesOf(kind, seed + 1, b)];
      const { norm, nonFinite } = await normOf(first, second);
      const expected = Math.hypot(...first, ...second);
      // up to 16 squares in a row per lane, 2 + 6 levels of trees twice, 1 run over partials; the root halves it
      expectClose("norm", norm, [expected], toleranceOf((16 + 9 + 8) / 2), 1e-12);
      expect(nonFinite).toBe(0);
    }),
    { numRuns: 8 },
  );
});

it("non-finite gradients are counted and left out of the norm", async () => {
  const data = new Float32Array(5000).fill(2);
  data[0] = Number.NaN;
  data[77] = Number.POSITIVE_INFINITY;
  data[4999] = Number.NEGATIVE_INFINITY;
  const { norm, nonFinite } = await normOf(data);
  expect(nonFinite).toBe(3);
  expectClose("norm", norm, [Math.sqrt(4997 * 4)], toleranceOf(20));
});

it("a sum of squares that overflows counts as non-finite", async () => {
  const { nonFinite } = await normOf(new Float32Array(8).fill(1e30));
  expect(nonFinite).toBe(1);
});

it("gradientNorm refuses an empty list and odd sizes", () => {
  const record = (shapes: readonly number[][]) => () =>
    recordProgram(device, (p) => ({
      ...gradientNorm(
        p,
        shapes.map((shape) => device.zeros(shape)),
      ),
    }));
  expect(record([])).toThrow(OptionError);
  expect(record([[3, 2]])).toThrow(ShapeError);
});
