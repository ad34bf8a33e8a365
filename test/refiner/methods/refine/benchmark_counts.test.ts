import { expect, it } from "vitest";
import { recordBenchStep } from "../../../../refiner/methods/refine/benchmark_step.ts";
import { testDevice } from "../../../device.ts";

const device = await testDevice();
const [blocks, heads] = [12, 4]; // of ViT-Ti/16 with the heads of the bench

/** Launches of a refine step of one image with two local views, which nothing has to run for. */
const refineLaunches = recordBenchStep(device, {
  model: "ti16",
  batch: 1,
  step: "refine",
  localViews: 2,
  queueLength: 1024,
}).recorded.stats.dispatches;

it("a whole refine step with local views takes at most 40 + 26 per block + 30 per head launches", () => {
  expect(refineLaunches).toBeLessThanOrEqual(40 + 26 * blocks + 30 * heads);
});

it("of which 20 are a block's, 40 a head's and 40 all others", () => {
  // The first norm and its linear layer are two launches where the adapter has no subgroups of eight.
  const perBlock = (device.subgroupSize ?? 0) >= 8 ? 20 : 21;
  // Five layers and their norms take 25 of a head's; one product over a batch of one image is split in two.
  expect(refineLaunches).toBeLessThanOrEqual(40 + perBlock * blocks + 40 * heads);
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

it("a refine step moves at most one and a half times the bytes that the fused form needs", { timeout: 60_000 }, () => {
  const { recorded, minimumBytes } = recordBenchStep(device, { model: "ti16", batch: 2, step: "refine" });
  expect(recorded.stats.bytesRead + recorded.stats.bytesWritten).toBeLessThanOrEqual(1.5 * minimumBytes);
});
