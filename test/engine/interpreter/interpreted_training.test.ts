import { expect, it } from "vitest";
import { type Device, type HostArray, stepScalars } from "../../../engine/index.ts";
import { InterpretedGpu } from "../../../engine/interpreter/interpreted_gpu.ts";
import { loadStep } from "../../../engine/step/load_step.ts";
import { testDevice } from "../../device.ts";
import { recordVitStep, vitBatch } from "../vit_step.ts";

const adapter = await testDevice({ reproducible: true });
const shape = { width: 16, depth: 1, heads: 2, tokens: 9, batch: 2, classes: 5 };
const inputs = (step: number) => ({
  ...vitBatch(shape, step),
  scalars: stepScalars({ step, learningRate: 1e-3, beta1: 0.9 }),
});

/** Parameters after two updates, and the step as it was exported before the second. */
async function train(device: Device): Promise<{ values: HostArray; exported: Uint8Array<ArrayBuffer> }> {
  const { program, parameters } = recordVitStep(device, shape);
  const weight = parameters.get("0.qkv.weight");
  await program.run(inputs(1));
  const exported = await program.export({ state: { weight } });
  await program.run(inputs(2));
  return { values: await weight.read(), exported };
}

it("a transformer trains on the interpreter to the bytes of the adapter", { timeout: 120_000 }, async () => {
  const interpreter = await testDevice({ adapter: "interpreter", reproducible: true });
  const [given, wanted] = [await train(interpreter), await train(adapter)];
  expect(given.values).toEqual(wanted.values);
  // Exported, it runs on both to the same bytes.
  const step = await loadStep(new InterpretedGpu(), given.exported);
  const onAdapter = await loadStep(adapter.gpu, given.exported);
  for (const loaded of [step, onAdapter]) {
    await loaded.run(inputs(2));
    expect(await loaded.read("weight")).toEqual(wanted.values);
  }
  for (const buffer of onAdapter.buffers) buffer.destroy();
});
