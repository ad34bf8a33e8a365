import { expect, it } from "vitest";
import { vitConfig } from "../../models/index.ts";
import { refineConfig } from "../../refiner/config.ts";
import { dryRun, fittingChanges, gpuPlanningDevice } from "../../refiner/dry_run.ts";
import { testDevice } from "../device.ts";

const device = await testDevice();

it("plans mae_l16 at batch 1024 into 24 GB by micro-batches alone, without allocating", { timeout: 300_000 }, () => {
  const before = device.counters.bytes;
  const planning = gpuPlanningDevice(device);
  const config = refineConfig({}, "mae_l16");
  const images = 1_281_167;
  const [best] = fittingChanges(planning, vitConfig("l16"), config, images, 24e9);
  expect(Object.keys(best?.change ?? {})).toEqual(["microBatch"]);
  const microBatch = best?.change.microBatch ?? 0;
  expect(best?.plan.memory.total).toBeLessThanOrEqual(24e9);
  const larger = dryRun(planning, vitConfig("l16"), { ...config, microBatch: 2 * microBatch }, images, 3);
  expect(larger.memory.total).toBeGreaterThan(24e9);
  expect(device.counters.bytes - before).toBe(0);
});

it("adds up what the planner states", { timeout: 120_000 }, () => {
  const vit = vitConfig({ patchPixels: 4, width: 24, blocks: 3, heads: 3, heightPixels: 16, widthPixels: 16 });
  const config = refineConfig({
    batch: 16,
    heads: [1, "last"],
    projectorWidth: 32,
    predictorWidth: 32,
    outputWidth: 16,
    queueLength: 64,
  });
  const { memory, encoderParameters, headParameters } = dryRun(device, vit, config, 100, 3);
  const { total, ...parts } = memory;
  expect(Object.values(parts).reduce((sum, bytes) => sum + bytes, 0)).toBe(total);
  // Every tensor is padded to 256 bytes in its arena, so weights take at least four bytes per parameter.
  expect(memory.weights).toBeGreaterThanOrEqual(4 * (encoderParameters + headParameters));
  expect(memory.moments).toBe(2 * memory.gradients);
  expect(memory.queues).toBe(2 * (64 * 16 * 4 + 3 * 64 * 4));
});
