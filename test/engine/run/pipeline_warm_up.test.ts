import { expect, it } from "vitest";
import type { Pipeline } from "../../../engine/core/device_parts.ts";
import { openDevice, recordProgram, type Tensor } from "../../../engine/index.ts";
import { add, mul, sub } from "../../../engine/ops/binary.ts";
import { abs, exp, neg, sqrt, tanh } from "../../../engine/ops/unary.ts";
import { WarmUp } from "../../../engine/run/pipeline_warm_up.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const forever = new Promise<never>(() => undefined);

/** Kernels of a program that has more than sixteen: every operation in its forms for one number and for four. */
async function manyKernels(): Promise<Pipeline[]> {
  const step = recordProgram(device, (p) => {
    const results: Record<string, Tensor> = {};
    for (const size of [3, 4]) {
      const [x, z] = [p.input(`x${size}`, [size]), p.input(`z${size}`, [size])];
      for (const [name, operation] of Object.entries({ abs, exp, neg, sqrt, tanh }))
        results[`${name}${size}`] = operation(x);
      for (const [name, operation] of Object.entries({ add, mul, sub })) {
        results[`${name}${size}`] = operation(x, z);
        results[`${name} scalar ${size}`] = operation(x, 2);
      }
    }
    return results;
  });
  const { pipelines } = await step.compile();
  return pipelines.filter((pipeline) => pipeline !== undefined);
}

it("launches all kernels of a long first run on a device of its own, and gives that back", {
  timeout: 60_000,
}, async () => {
  const other = await openDevice({ notice: () => undefined });
  const pipelines = await manyKernels();
  const warmUp = new WarmUp(async () => other.gpu, device.waits);
  const launched = await warmUp.during(pipelines, forever);
  expect(launched).toBe(new Set(pipelines).size);
  expect(launched).toBeGreaterThan(16);
  expect((await other.gpu.lost).reason).toBe("destroyed");
  expect(await warmUp.during(pipelines, forever)).toBe(0); // all of them were launched
  await warmUp.idle();
});

it("opens nothing for a first run that is over at once, nor for few kernels", { timeout: 60_000 }, async () => {
  const pipelines = await manyKernels();
  const open = () => Promise.reject(new Error("not wanted"));
  expect(await new WarmUp(open, device.waits).during(pipelines, Promise.resolve())).toBe(0);
  expect(await new WarmUp(open, device.waits).during(pipelines, Promise.reject(new Error("lost")))).toBe(0);
  expect(await new WarmUp(open, device.waits).during(pipelines.slice(0, 3), forever)).toBe(0);
});

it("costs nothing but the help where a second device cannot be opened or is lost", { timeout: 60_000 }, async () => {
  const pipelines = await manyKernels();
  const refused = () => Promise.reject(new Error("no adapter"));
  expect(await new WarmUp(refused, device.waits).during(pipelines, forever)).toBe(0);
  const other = await openDevice({ notice: () => undefined });
  other.gpu.destroy();
  await new WarmUp(async () => other.gpu, device.waits).during(pipelines, forever);
});
