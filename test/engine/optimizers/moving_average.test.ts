import fc from "fast-check";
import { expect, it } from "vitest";
import { OptionError, recordProgram, ShapeError } from "../../../engine/index.ts";
import { movingAverage } from "../../../engine/optimizers/moving_average.ts";
import { expectClose, oddLength, roundOff, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });

it("a thousand small steps of the average keep the digits of 1 - factor", async () => {
  const average = device.tensor([0]);
  const x = device.tensor([1]);
  const factor = 0.9999;
  const step = recordProgram(device, (p) => {
    for (let i = 0; i < 1000; i++) movingAverage(p, { average, x, factor });
    return {};
  });
  await step.run();
  // 1 - 0.9999^1000; each step rounds once more, the rounding of the factor itself costs 1000 * 2^-25
  expectClose("average", await average.read(), [1 - factor ** 1000], 2000 * roundOff);
});

it("the average agrees with float64 for all sizes", async () => {
  await fc.assert(
    fc.asyncProperty(oddLength(257), fc.integer(), async (size, seed) => {
      const [old, now] = [valuesOf("normal", seed, size), valuesOf("normal", seed + 1, size)];
      const average = device.tensor(old);
      const step = recordProgram(device, (p) => {
        movingAverage(p, { average, x: p.input("x", [size]), factor: 0.75 });
        return {};
      });
      await step.run({ x: now });
      const expected = Array.from(old, (value, i) => 0.75 * value + 0.25 * (now[i] ?? Number.NaN));
      // 0.25 x is exact; 0.75 a and the sum are rounded once each. A sum of opposite signs is smaller than its terms, whose size counts.
      const largestTerm = Math.max(...old.map((value) => Math.abs(0.75 * value)));
      expectClose("average", await average.read(), expected, 2 * roundOff, largestTerm);
      step.destroy();
    }),
    { numRuns: 20 },
  );
});

it("movingAverage refuses factors outside 0 … 1 and other sizes", () => {
  const attempt = (size: number, factor: number) => () =>
    recordProgram(device, (p) => {
      movingAverage(p, { average: device.zeros([4]), x: p.input("x", [size]), factor });
      return {};
    });
  expect(attempt(4, 1.5)).toThrow(new OptionError("movingAverage: factor is 1.5, expected 0 … 1"));
  expect(attempt(3, 0.5)).toThrow(ShapeError);
});
