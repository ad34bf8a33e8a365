import fc from "fast-check";
import { expect, it } from "vitest";
import { DTypeError, OptionError, recordProgram, ShapeError } from "../../../engine/index.ts";
import { adamW } from "../../../engine/optimizers/adamw.ts";
import { stepScalars } from "../../../engine/optimizers/step_scalars.ts";
import { expectClose, roundOff, valueKind, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { type AdamWState, adamWReference } from "../../reference/optimizers.ts";

const device = await testDevice({ canaries: true });
const hyper = { learningRate: 1e-2, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, averageFactor: 0.9, gradientScale: 1 };
const table = [
  [1, 0.05],
  [0.65, 0],
  [0.01, 0.5],
] as const;

/** State on the device for `blocks` blocks whose groups take turns, and the program of one step. */
function recordStep(blocks: number, seed: number, withAverage: boolean) {
  const size = 64 * blocks;
  const initial = valuesOf("normal", seed, size);
  const state = {
    parameters: device.tensor(initial),
    firstMoment: device.zeros([size]),
    secondMoment: device.zeros([size]),
  };
  const average = device.tensor(initial);
  const blockGroups = device.tensor(
    Uint32Array.from({ length: blocks }, (_, i) => i % 3),
    [blocks],
    "u32",
  );
  const groups = device.tensor(table.flat(), [3, 2]);
  const step = recordProgram(device, (p) => {
    const [gradients, scalars] = [p.input("gradients", [size]), p.input("scalars", [12])];
    adamW(p, { ...state, gradients, blockGroups, groups, scalars, ...(withAverage ? { average } : {}) });
    return {};
  });
  return { size, initial, ...state, average, step };
}

it("several steps of adamW follow float64, with groups per block and the moving average", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 7 }), valueKind, fc.integer(), async (blocks, kind, seed) => {
      const { size, initial, parameters, firstMoment, secondMoment, average, step } = recordStep(blocks, seed, true);
      const p = Float64Array.from(initial);
      const zeros = () => new Float64Array(size);
      const expected: AdamWState = { p, m: zeros(), v: zeros(), average: Float64Array.from(initial) };
      const steps = 4;
      for (let t = 1; t <= steps; t++) {
        const gradients = valuesOf(kind, seed + t, size);
        await step.run({ gradients, scalars: stepScalars({ ...hyper, step: t }) });
        adamWReference(expected, gradients, t, { ...hyper, group: (i) => table[Math.floor(i / 64) % 3] ?? [1, 0] });
      }
      // Per step: p has 3 roundings of its own; the update, at most lr / sqrt(1 - beta2) = 0.05 of p's scale, has about 20
      // of its own (moments, root, quotient), so 1 more. The average sums up p's errors: at most as large.
      const bound = steps * 4 * roundOff * 2;
      expectClose("parameters", await parameters.read(), expected.p, bound, 1);
      expectClose("average", await average.read(), expected.average, bound, 1);
      expectClose("firstMoment", await firstMoment.read(), expected.m, steps * 3 * roundOff, 1e-6);
      expectClose("secondMoment", await secondMoment.read(), expected.v, steps * 5 * roundOff, 1e-12);
      step.destroy();
    }),
    { numRuns: 12 },
  );
});

it("without an average the same parameters come out", async () => {
  const gradients = valuesOf("normal", 9, 128);
  const scalars = stepScalars({ ...hyper, step: 1 });
  const results = [];
  for (const withAverage of [false, true]) {
    const { step, parameters } = recordStep(2, 3, withAverage);
    await step.run({ gradients, scalars });
    results.push(await parameters.read());
  }
  expect(results[0]).toEqual(results[1]);
});

it("a step whose scalars say so leaves everything as it is", async () => {
  const { size, initial, parameters, firstMoment, average, step } = recordStep(2, 4, true);
  const scalars = stepScalars({ ...hyper, step: 1 });
  scalars[7] = 0; // apply
  await step.run({ gradients: new Float32Array(size).fill(Number.NaN), scalars });
  expect(await parameters.read()).toEqual(initial);
  expect(await average.read()).toEqual(initial);
  expect(await firstMoment.read()).toEqual(new Float32Array(size));
});

it("adamW names arenas that do not fit together", () => {
  const { parameters, firstMoment, secondMoment } = recordStep(1, 1, false);
  const tables = {
    blockGroups: device.zeros([1], "u32"),
    groups: device.zeros([1, 2]),
    scalars: device.zeros([12]),
  };
  const wrong = (change: object) => () =>
    recordProgram(device, (p) => {
      const arenas = { parameters, gradients: device.zeros([64]), firstMoment, secondMoment };
      adamW(p, { ...arenas, ...tables, ...change });
      return {};
    });
  expect(wrong({ parameters: device.zeros([60]) })).toThrow(
    new ShapeError("adamW: 60 parameters are not whole blocks of 64; use the chunks of an Arena"),
  );
  expect(wrong({ gradients: device.zeros([128]) })).toThrow(ShapeError);
  expect(wrong({ blockGroups: device.zeros([1]) })).toThrow(DTypeError);
  expect(wrong({ scalars: device.zeros([3]) })).toThrow(ShapeError);
});

it("stepScalars refuses values outside their range", () => {
  expect(() => stepScalars({ ...hyper, step: 0 })).toThrow(
    new OptionError("stepScalars: step is 0, expected the number of the update, from 1 on"),
  );
  expect(() => stepScalars({ ...hyper, step: 1, beta1: 1 })).toThrow(OptionError);
  expect(() => stepScalars({ ...hyper, step: 1, epsilon: 0 })).toThrow(OptionError);
});
