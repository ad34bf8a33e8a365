import { expect, it } from "vitest";
import { openDevice, recordProgram, stepScalars } from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";
import { recordVitStep, type VitShape, vitBatch } from "../vit_step.ts";
import { countGpuCalls } from "./gpu_calls.ts";

const device = await testDevice();
const fullShape: VitShape = { width: 96, depth: 4, heads: 3, tokens: 65, batch: 32, classes: 10 };
// A full step takes most of a second on two cores: the 200 steps are of two images, on SwiftShader of one block and image. The plan
// is of the full one.
const isSlow = /swiftshader/i.test(device.info.name);
const shape: VitShape = isSlow ? { ...fullShape, batch: 1, depth: 1 } : { ...fullShape, batch: 2 };
const steps = 100;
const minutes = 60_000;

/** Trains and returns the losses and every byte of state. */
async function train(): Promise<{ losses: number[]; state: Uint8Array[]; calls: Record<string, number> }> {
  const { program, parameters, firstMoment, secondMoment } = recordVitStep(device, shape);
  const inputs = (step: number) => ({
    ...vitBatch(shape, step % 4),
    scalars: stepScalars({ learningRate: 1e-3, step, beta1: 0.9 }),
  });
  const losses: number[] = [];
  const run = async (step: number): Promise<void> => {
    const { loss } = await (await program.run(inputs(step), ["loss"])).read();
    losses.push(loss[0] ?? Number.NaN);
  };
  await run(1);
  const calls = countGpuCalls(device);
  for (let step = 2; step <= steps + 1; step++) await run(step);
  const counted = { ...calls };
  const chunks = [parameters, firstMoment, secondMoment].flatMap((arena) => arena.chunks);
  const state: Uint8Array[] = [];
  for (const chunk of chunks) state.push(new Uint8Array((await chunk.read()).buffer));
  program.destroy();
  for (const arena of [parameters, firstMoment, secondMoment]) arena.destroy();
  return { losses, state, calls: counted };
}

it("plans the full training step within 1.25 times the liveness lower bound", () => {
  const { program } = recordVitStep(device, fullShape);
  const { plannedPeakBytes, lowerBoundBytes, submits } = program.stats;
  expect(plannedPeakBytes).toBeGreaterThan(10e6); // the step keeps activations of 2080 rows for its backward pass
  expect(plannedPeakBytes).toBeLessThanOrEqual(1.25 * lowerBoundBytes);
  expect(submits).toBe(1);
  expect(program.print()).toMatch(/arena .* × the liveness lower bound/);
});

it("replays a training step 100 times with one submit each and nothing created, twice to the same bytes", {
  timeout: 14 * minutes,
}, async () => {
  const first = await train();
  const { submit, ...created } = first.calls;
  expect(submit).toBe(steps);
  expect(Object.values(created).every((count) => count === 0)).toBe(true);
  expect(first.losses.at(-1)).toBeLessThan(0.5 * (first.losses[0] ?? 0)); // four batches are soon learnt by heart
  const second = await train();
  expect(second.losses).toEqual(first.losses);
  for (const [i, bytes] of first.state.entries()) expect(Buffer.compare(bytes, second.state[i] ?? bytes)).toBe(0);
});

it("gives the same bytes on a second device", { timeout: 2 * minutes }, async () => {
  const small: VitShape = { ...fullShape, batch: 1, depth: 1 };
  const results: ArrayBufferLike[] = [];
  for (const one of [device, await openDevice({ notice: () => undefined })]) {
    const { program, parameters } = recordVitStep(one, small);
    for (let step = 1; step <= 3; step++)
      await program.run({
        ...vitBatch(small, step),
        scalars: stepScalars({ learningRate: 1e-3, step, beta1: 0.9 }),
      });
    results.push((await (parameters.chunks[0] ?? one.zeros([1])).read()).buffer);
    if (one !== device) one.close();
  }
  expect(Buffer.from(results[0] ?? new ArrayBuffer(0))).toEqual(Buffer.from(results[1] ?? new ArrayBuffer(1)));
});

it("plans and prints without touching the device", () => {
  const calls = countGpuCalls(device);
  const { program } = recordVitStep(device, fullShape);
  expect(program.stats.dispatches).toBeGreaterThan(50);
  expect(program.print().split("\n").length).toBeGreaterThan(program.stats.dispatches);
  const created = calls.createComputePipelineAsync;
  expect(created).toBe(0);
  expect(recordProgram(device, () => ({})).stats.dispatches).toBe(0);
});
