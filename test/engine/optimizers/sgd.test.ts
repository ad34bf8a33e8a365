import { it } from "vitest";
import { recordProgram } from "../../../engine/index.ts";
import { sgd } from "../../../engine/optimizers/sgd.ts";
import { stepScalars } from "../../../engine/optimizers/step_scalars.ts";
import { expectClose, roundOff, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { sgdReference } from "../../reference/optimizers.ts";

const device = await testDevice({ canaries: true });

it("several steps of sgd follow float64, with a learning rate and decay per block", async () => {
  const [blocks, steps] = [5, 6];
  const size = 64 * blocks;
  const initial = valuesOf("normal", 11, size);
  const parameters = device.tensor(initial);
  const velocity = device.zeros([size]);
  const blockGroups = device.tensor(Uint32Array.from([0, 1, 0, 1, 1]), [blocks], "u32");
  const groups = device.tensor([1, 0, 0.1, 0.01], [2, 2]);
  const step = recordProgram(device, (p) => {
    const [gradients, scalars] = [p.input("gradients", [size]), p.input("scalars", [12])];
    sgd(p, { parameters, velocity, gradients, scalars, blockGroups, groups });
    return {};
  });
  const expected = { p: Float64Array.from(initial), u: new Float64Array(size) };
  const options = { learningRate: 0.1, beta1: 0.9, gradientScale: 1 };
  for (let t = 1; t <= steps; t++) {
    const gradients = valuesOf("normal", 20 + t, size);
    await step.run({ gradients, scalars: stepScalars({ ...options, step: t }) });
    const group = (i: number) => ([0, 2].includes(Math.floor(i / 64)) ? ([1, 0] as const) : ([0.1, 0.01] as const));
    sgdReference(expected, gradients, { ...options, group });
  }
  // velocity: 4 roundings per step, carried on with 0.9; parameters: 2 per step and 0.1 of the velocity's
  expectClose("velocity", await velocity.read(), expected.u, steps * 4 * roundOff);
  expectClose("parameters", await parameters.read(), expected.p, steps * 3 * roundOff);
});
