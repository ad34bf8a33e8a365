import { expect, it } from "vitest";
import { OptionError, recordProgram } from "../../../engine/index.ts";
import { lossScaleValues } from "../../../engine/optimizers/loss_scale.ts";
import { stepControl } from "../../../engine/optimizers/step_control.ts";
import { stepScalars } from "../../../engine/optimizers/step_scalars.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });
const [gradientScale, apply, firstCorrection] = [3, 7, 8]; // places in the scalars
const betas = { beta1: 0.9, beta2: 0.999 };

interface Situation {
  readonly norm: number;
  readonly nonFinite?: number;
  readonly maxNorm?: number;
  readonly lossScale?: readonly [scale: number, goodSteps: number];
  /** Updates that were applied before. */
  readonly updates?: number;
  readonly scalars?: Float32Array;
}

async function control(situation: Situation) {
  const { norm, nonFinite = 0, maxNorm, lossScale, updates = 0 } = situation;
  const { scalars: given = stepScalars({ learningRate: 0.1, step: 1, ...betas }) } = situation;
  const scalars = device.tensor(given);
  const [scale = 1, goodSteps = 0] = lossScale ?? [];
  const state = lossScaleValues({ scale, updates, ...betas });
  state[1] = goodSteps;
  const scaleState = lossScale && device.tensor(state);
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
    corrections: values.slice(firstCorrection, firstCorrection + 2),
    lossScale: scaleState && [...(await scaleState.read())].slice(0, 3),
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
  expect(result).toMatchObject({ applied: 0, lossScale: [512, 0, 1] });
});

it("the loss scale doubles after 2000 good steps and not before", async () => {
  expect(await control({ norm: 1, lossScale: [1024, 1998] })).toMatchObject({ applied: 1, lossScale: [1024, 1999, 0] });
  expect(await control({ norm: 1, lossScale: [1024, 1999] })).toMatchObject({ applied: 1, lossScale: [2048, 0, 0] });
});

it("stepControl refuses a largest norm of zero", async () => {
  await expect(control({ norm: 1, maxNorm: 0 })).rejects.toThrow(OptionError);
});

/** f32 sums `(1 - beta) + beta c` keep their error over steps up to 1 / (1 - beta) roundings, of which the last hundred count here. */
const correctionBound = 1e-5;

it("bias corrections count applied steps, so that skipped ones change nothing", async () => {
  for (const updates of [0, 1, 10, 500]) {
    const expected = stepScalars({ learningRate: 0.1, step: updates + 1, ...betas }).slice(8, 10);
    // The host counts twenty more updates than were applied.
    const scalars = stepScalars({ learningRate: 0.1, step: updates + 21, ...betas });
    const { corrections } = await control({ norm: 1, lossScale: [1024, 0], updates, scalars });
    corrections.forEach((value, i) => {
      expect(Math.abs(value / (expected[i] ?? 0) - 1)).toBeLessThan(correctionBound);
    });
  }
});

it("without a loss scale the corrections of the host are used as they are", async () => {
  const scalars = stepScalars({ learningRate: 0.1, step: 7, ...betas });
  expect([...(await control({ norm: 1, scalars })).corrections]).toEqual([...scalars.slice(8, 10)]);
});

it("a loss scale that is no power of two is refused", () => {
  expect(() => lossScaleValues({ scale: 1000, ...betas })).toThrow(/power of two/);
});
