import { expect, it } from "vitest";
import { OptionError, recordProgram } from "../../engine/index.ts";
import { stepControl } from "../../engine/ops/step_control.ts";
import { stepScalars } from "../../engine/ops/step_scalars.ts";
import { testDevice } from "../device.ts";

const device = await testDevice({ canaries: true });
const [gradientScale, apply] = [3, 7]; // places in the scalars

interface Situation {
  readonly norm: number;
  readonly nonFinite?: number;
  readonly maxNorm?: number;
  readonly lossScale?: readonly [scale: number, goodSteps: number];
}

async function control({ norm, nonFinite = 0, maxNorm, lossScale }: Situation) {
  const scalars = device.tensor(stepScalars({ learningRate: 0.1, step: 1, beta1: 0.9 }));
  const scaleState = lossScale && device.tensor(lossScale);
  const step = recordProgram(device, (p) => {
    const inputs = { norm: p.input("norm", [1]), nonFinite: p.input("nonFinite", [1], "u32") };
    const options = { ...(maxNorm === undefined ? {} : { maxNorm }), ...(scaleState ? { lossScale: scaleState } : {}) };
    return { control: stepControl(p, { scalars, ...inputs, ...options }) };
  });
  const run = await step.run({ norm: [norm], nonFinite: Uint32Array.of(nonFinite) }, ["control"]);
  const values = (await run.read()).control;
  return {
    scale: values[gradientScale],
    applied: values[apply],
    lossScale: scaleState && [...(await scaleState.read())],
  };
}

it("gradients within the largest norm pass, longer ones are shortened to it", async () => {
  expect((await control({ norm: 2, maxNorm: 3 })).scale).toBe(1);
  expect((await control({ norm: 12, maxNorm: 3 })).scale).toBeCloseTo(0.25, 6);
  expect((await control({ norm: 12 })).scale).toBe(1);
});

it("the loss scale is taken out before clipping", async () => {
  const { scale } = await control({ norm: 12 * 1024, maxNorm: 3, lossScale: [1024, 0] });
  expect((scale ?? 0) * 1024).toBeCloseTo(0.25, 6);
});

it("a step with non-finite gradients is skipped and halves the loss scale", async () => {
  const result = await control({ norm: 1, nonFinite: 2, lossScale: [1024, 17] });
  expect(result).toMatchObject({ applied: 0, lossScale: [512, 0] });
});

it("the loss scale doubles after 2000 good steps and not before", async () => {
  expect(await control({ norm: 1, lossScale: [1024, 1998] })).toMatchObject({ applied: 1, lossScale: [1024, 1999] });
  expect(await control({ norm: 1, lossScale: [1024, 1999] })).toMatchObject({ applied: 1, lossScale: [2048, 0] });
});

it("stepControl refuses a largest norm of zero", async () => {
  await expect(control({ norm: 1, maxNorm: 0 })).rejects.toThrow(OptionError);
});
