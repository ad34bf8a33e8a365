import fc from "fast-check";
import { expect, it } from "vitest";
import { hostUniform, OptionError, recordProgram, ShapeError, sgdGrid } from "../../../engine/index.ts";
import { expectClose, roundOff, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { sgdReference } from "../../reference/optimizers.ts";

const device = await testDevice({ canaries: true });
const momentum = 0.9;

it("every model of a grid follows float64 with its own learning rate, whatever their size", {
  timeout: 120_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(1, 2, 13, 67),
      fc.constantFrom(1, 3, 4, 5, 64, 130, 1031),
      fc.integer({ min: 0, max: 2 ** 30 }),
      async (models, perModel, seed) => {
        const [size, steps] = [models * perModel, 4];
        const initial = valuesOf("normal", seed, size);
        const parameters = device.tensor(initial);
        const velocity = device.zeros([size]);
        const step = recordProgram(device, (p) => {
          const [gradients, rates] = [p.input("gradients", [size]), p.input("rates", [models])];
          sgdGrid(p, { parameters, gradients, velocity, rates, momentum });
          return {};
        });
        const expected = { p: Float64Array.from(initial), u: new Float64Array(size) };
        for (let t = 0; t < steps; t++) {
          const gradients = valuesOf("normal", seed + t + 1, size);
          const rates = hostUniform(models, { seed, purpose: "rates", step: t });
          await step.run({ gradients, rates });
          const group = (i: number) => [rates[Math.floor(i / perModel)] ?? 0, 0] as const;
          sgdReference(expected, gradients, { learningRate: 1, beta1: momentum, gradientScale: 1, group });
        }
        const [u, p] = [await velocity.read(), await parameters.read()];
        step.destroy();
        for (const state of [parameters, velocity]) state.destroy();
        const most = [...expected.u, ...expected.p].reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
        // Per step two roundings of the velocity, carried on with 0.9, and two of the parameters plus the rate times the velocity's.
        expectClose("velocity", u, expected.u, steps * 3 * roundOff * most);
        expectClose("parameters", p, expected.p, steps * 16 * roundOff * most);
      },
    ),
    { numRuns: 25 },
  );
});

it("a rate of 0 leaves a model as it is, and the others go on", async () => {
  const parameters = device.tensor([1, 2, 3, 4, 5, 6]);
  const velocity = device.zeros([6]);
  const step = recordProgram(device, (p) => {
    sgdGrid(p, { parameters, gradients: p.input("g", [6]), velocity, rates: p.input("rates", [3]), momentum });
    return {};
  });
  await step.run({ g: new Float32Array(6).fill(1), rates: Float32Array.of(0, 1, 0) });
  expect([...(await parameters.read())]).toEqual([1, 2, 2, 3, 5, 6]);
});

it("says what does not fit", () => {
  const [parameters, velocity] = [device.zeros([6]), device.zeros([6])];
  const record = (models: number, given: number) =>
    recordProgram(device, (p) => {
      const rates = p.input("rates", [models]);
      sgdGrid(p, { parameters, gradients: p.input("g", [6]), velocity, rates, momentum: given });
      return {};
    });
  expect(() => record(4, momentum)).toThrow(ShapeError);
  expect(() => record(4, momentum)).toThrow(/6 parameters are not 4 models/);
  expect(() => record(3, 1.5)).toThrow(OptionError);
});
