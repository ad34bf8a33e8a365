import { expect, it } from "vitest";
import { recordBenchStep } from "../../../refiner/bench/step.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const [blocks, heads] = [12, 4]; // of ViT-Ti/16 with the heads of the bench

it("a whole refine step with local views takes at most 40 + 20 per block + 50 per head launches", {
  timeout: 60_000,
}, () => {
  const { recorded } = recordBenchStep(device, {
    model: "ti16",
    batch: 1,
    step: "refine",
    localViews: 2,
    queueLength: 1024,
  });
  // The first norm and its linear layer are two launches where the adapter has no subgroups of eight.
  const perBlock = (device.subgroupSize ?? 0) >= 8 ? 20 : 21;
  expect(recorded.stats.dispatches).toBeLessThanOrEqual(40 + perBlock * blocks + 50 * heads);
});

it("an inference forward pass moves at most one and a half times the bytes that the fused form needs", {
  timeout: 60_000,
}, () => {
  const { recorded, minimumBytes } = recordBenchStep(device, { model: "ti16", batch: 2, step: "forward" });
  expect(recorded.stats.bytesRead + recorded.stats.bytesWritten).toBeLessThanOrEqual(1.5 * minimumBytes);
});

it("a training step moves at most one and a half times the bytes that the fused form needs", {
  timeout: 60_000,
}, () => {
  const { recorded, minimumBytes } = recordBenchStep(device, { model: "ti16", batch: 2, step: "train" });
  expect(recorded.stats.bytesRead + recorded.stats.bytesWritten).toBeLessThanOrEqual(1.5 * minimumBytes);
});
