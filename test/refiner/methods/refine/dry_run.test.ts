import { describe, expect, it } from "vitest";
import { vitConfig } from "../../../../models/index.ts";
import { dryRun, gpuPlanningDevice } from "../../../../refiner/methods/refine/planning/dry_run.ts";
import { fittingChanges } from "../../../../refiner/methods/refine/planning/fitting_changes.ts";
import { withPlannedOffload } from "../../../../refiner/methods/refine/planning/planned_offload.ts";
import {
  type RefineConfig,
  type RefineSettings,
  refineConfig,
} from "../../../../refiner/methods/refine/refine_config.ts";
import { testDevice } from "../../../device.ts";

const device = await testDevice();
const smallHeads: RefineSettings = {
  heads: [1, "last"],
  projectorWidth: 32,
  predictorWidth: 32,
  outputWidth: 16,
  queueLength: 64,
};

it("plans stage 3 of mae_l16 in f16 with at least 35 % less memory at micro-batch 32", { timeout: 300_000 }, () => {
  const planning = gpuPlanningDevice(device);
  const config = refineConfig({ microBatch: 32 }, "mae_l16"); // batch 1024
  const planIn = (precision: "f32" | "f16") =>
    dryRun(planning, vitConfig("l16"), { ...config, precision }, 1_281_167, 3).memory;
  const [full, half] = [planIn("f32"), planIn("f16")];
  expect(half.total).toBeLessThanOrEqual(0.65 * full.total);
  // Master weights and everything of the optimiser stay f32.
  for (const kind of ["weights", "gradients", "moments", "average", "queues", "features"] as const)
    expect(half[kind]).toBe(full[kind]);
  expect(planning.counters.buffers).toBe(0); // it counts its own
});

it("moves state to the host before it changes numbers", { timeout: 120_000 }, () => {
  const planning = gpuPlanningDevice(device);
  const vit = vitConfig({ patchPixels: 4, width: 96, blocks: 4, heads: 3, heightPixels: 64, widthPixels: 64 });
  const config = refineConfig({ ...smallHeads, batch: 8, recompute: true });
  const planOf = (change: Partial<RefineConfig>) =>
    dryRun(planning, vit, { ...config, microBatch: 1, ...change }, 100, 3);
  const memory = planOf({}).memory.total - 1; // the moments are larger than what they pass through
  const [first] = fittingChanges(planning, vit, config, 100, memory);
  expect(first?.change).toEqual({ offload: ["moments"], microBatch: expect.any(Number) });
  expect(first?.plan).toEqual(planOf(first?.change ?? {}));
  expect(first?.plan.memory.total).toBeLessThanOrEqual(memory);
  const both = planOf({ offload: ["moments", "average"] });
  const { memory: here, flopsPerUpdate } = planOf({});
  expect(both.hostBytes).toBe(here.moments + here.average);
  expect(both.streamedBytesPerUpdate).toBe(2 * both.hostBytes);
  expect(both.flopsPerUpdate).toBe(flopsPerUpdate);
  expect([both.memory.moments, both.memory.average]).toEqual([0, 0]);
});

describe("blocks that are recomputed", () => {
  const vit = vitConfig({ patchPixels: 4, width: 96, blocks: 6, heads: 3, heightPixels: 64, widthPixels: 64 });
  const config = refineConfig({ ...smallHeads, batch: 8, frozenShare: 0.2, offload: ["moments", "average"] });
  const bytesOf = (change: Partial<RefineConfig>): number =>
    dryRun(gpuPlanningDevice(device), vit, { ...config, microBatch: 1, ...change }, 100, 3).memory.total;

  it("save memory one by one, up to all that are trained", { timeout: 60_000 }, () => {
    const bytes = [0, 1, 2, 3, 4, 5, 6].map((recomputeBlocks) => bytesOf({ recomputeBlocks }));
    for (let count = 1; count <= 5; count++) expect(bytes[count], `${count}`).toBeLessThan(bytes[count - 1] ?? 0);
    expect(bytes[6], "a frozen block keeps nothing").toBe(bytes[5]);
    expect(bytesOf({ recompute: true })).toBe(bytes[5]);
    expect(() => bytesOf({ recomputeBlocks: 7 })).toThrow("recomputeBlocks 7 is more than the encoder's 6 blocks");
  });

  it("are as few as it takes where the memory is too small to keep all", { timeout: 60_000 }, () => {
    const memory = bytesOf({ recomputeBlocks: 3 });
    const [first] = fittingChanges(gpuPlanningDevice(device), vit, config, 100, memory);
    const { microBatch, recomputeBlocks = 0, ...others } = first?.change ?? {};
    expect([others, recomputeBlocks > 0]).toEqual([{}, true]);
    const bytes = [recomputeBlocks, recomputeBlocks - 1].map((count) =>
      bytesOf({ recomputeBlocks: count, ...(microBatch ? { microBatch } : {}) }),
    );
    expect(bytes[0]).toBeLessThanOrEqual(memory);
    expect(bytes[1]).toBeGreaterThan(memory);
  });

  it("come with smaller parts, and no f16, for a reproducible run of which no part fits", { timeout: 60_000 }, () => {
    const own = { ...config, batch: 8, reproducible: true, gradientPart: 4 };
    const least: Partial<RefineConfig> = { microBatch: 4, recompute: true, offload: ["moments", "average"] };
    const room = bytesOf({ ...own, ...least }) - 1;
    const changes = fittingChanges(gpuPlanningDevice(device), vit, own, 100, room);
    expect(changes.map(({ change }) => change)).toEqual([expect.objectContaining({ gradientPart: 2, microBatch: 2 })]);
    expect(changes[0]?.relativeFlops).toBeGreaterThan(0);
  });
});

describe("offload auto", () => {
  const vit = vitConfig({ patchPixels: 4, width: 96, blocks: 4, heads: 3, heightPixels: 64, widthPixels: 64 });
  const config = refineConfig({ ...smallHeads, batch: 8, offload: ["auto"] });
  const planned = (memory: number, own: Partial<RefineConfig> = {}): RefineConfig =>
    withPlannedOffload(device, vit, { ...config, ...own }, 100, memory);
  const bytesOf = (own: RefineConfig): number => dryRun(device, vit, own, 100, 3).memory.total;

  it("leaves a run as it is that fits, and one that names what it offloads", () => {
    expect(planned(2 ** 40)).toEqual({ ...config, offload: [] });
    const named = { ...config, offload: ["moments" as const] };
    expect(withPlannedOffload(device, vit, named, 100, 1)).toBe(named);
  });

  it("chooses the fastest settings that fit and leave the result as it is", { timeout: 120_000 }, () => {
    const offloads: RefineConfig["offload"][] = [[], ["moments"], ["moments", "average"]];
    const ways = offloads.flatMap((offload) =>
      [1, 2, 4].flatMap((microBatch) =>
        [0, 1, 2, 3, 4].map((recomputeBlocks) => {
          const { memory, predictedSeconds } = dryRun(
            device,
            vit,
            { ...config, offload, microBatch, recomputeBlocks },
            100,
            3,
          );
          return { bytes: memory.total, predictedSeconds };
        }),
      ),
    );
    const sorted = ways.map(({ bytes }) => bytes).sort((x, y) => x - y);
    for (const memory of [sorted[0], sorted[3], sorted[15]].map((bytes) => bytes ?? 0)) {
      const chosen = planned(memory);
      const { memory: taken, predictedSeconds } = dryRun(device, vit, chosen, 100, 3);
      const fastest = Math.min(...ways.filter(({ bytes }) => bytes <= memory).map((way) => way.predictedSeconds));
      expect(taken.total).toBeLessThanOrEqual(memory);
      expect(predictedSeconds, `${memory}`).toBeLessThanOrEqual(fastest * (1 + 1e-9));
      expect({ ...chosen, offload: [], microBatch: 0, recompute: false, recomputeBlocks: 0 }).toEqual({
        ...config,
        offload: [],
      });
    }
  });

  it("keeps a micro-batch that the settings name", { timeout: 120_000 }, () => {
    const memory = bytesOf({ ...config, offload: ["moments", "average"], microBatch: 4, recompute: true });
    const chosen = planned(memory, { microBatch: 4 });
    expect([chosen.microBatch, chosen.offload]).toEqual([4, ["moments", "average"]]);
    expect(bytesOf(chosen)).toBeLessThanOrEqual(memory);
  });

  it("says what it would take where nothing fits, and refuses more than auto", { timeout: 120_000 }, () => {
    expect(() => planned(1000)).toThrow(
      /nothing that leaves the result as it is fits into 1000 bytes; the least .* \d+ bytes/,
    );
    expect(() => planned(1000, { offload: ["auto", "moments"] })).toThrow(/auto,moments is more than auto/);
    expect(() => bytesOf(config)).toThrow(/offload auto is for the planner to decide/);
  });
});

it("offers f16 first where no micro-batch fits in f32", { timeout: 120_000 }, () => {
  const planning = gpuPlanningDevice(device);
  const vit = vitConfig({ patchPixels: 4, width: 96, blocks: 4, heads: 3, heightPixels: 64, widthPixels: 64 });
  const config = refineConfig({ ...smallHeads, batch: 8, offload: ["moments", "average"] });
  const leastIn = (precision: "f32" | "f16") =>
    dryRun(planning, vit, { ...config, precision, recompute: true, microBatch: 1 }, 100, 3).memory.total;
  const between = (leastIn("f32") + leastIn("f16")) / 2;
  const changes = fittingChanges(planning, vit, config, 100, between);
  expect(changes).toHaveLength(1);
  expect(changes[0]?.change).toMatchObject({ precision: "f16" });
  expect(changes[0]?.plan.memory.total).toBeLessThanOrEqual(between);
});

it("names what changes the method only where neither micro-batches nor f16 help", { timeout: 120_000 }, () => {
  const planning = gpuPlanningDevice(device);
  const vit = vitConfig({ patchPixels: 4, width: 96, blocks: 4, heads: 3, heightPixels: 64, widthPixels: 64 });
  const config = refineConfig({ ...smallHeads, batch: 8, offload: ["moments", "average"] });
  const least = (change: Partial<RefineConfig>): number =>
    dryRun(planning, vit, { ...config, microBatch: 1, recompute: true, ...change }, 100, 3).memory.total;
  const memory = least({ precision: "f16", offload: ["moments", "average", "weights"] }) - 1;
  const candidates: Partial<RefineConfig>[] = [{ heads: ["last"] }, { frozenShare: 0.5 }, { localViews: 0 }];
  const fitting = candidates.filter((change) => least(change) <= memory);
  const changes = fittingChanges(planning, vit, config, 100, memory);
  expect(changes.length).toBeGreaterThanOrEqual(fitting.length);
  for (const { change } of changes)
    expect(Object.keys(change).some((key) => ["heads", "frozenShare", "localViews"].includes(key))).toBe(true);
  expect(() => fittingChanges(planning, vit, config, 100, 1000)).toThrow(/no micro-batch fits into 1000 bytes/);
});

it("plans no gradients and moments for frozen blocks", () => {
  const planning = gpuPlanningDevice(device);
  const vit = vitConfig({ patchPixels: 4, width: 128, blocks: 4, heads: 4, heightPixels: 64, widthPixels: 64 });
  const memoryOf = (frozenShare: number) =>
    dryRun(planning, vit, refineConfig({ ...smallHeads, batch: 8, microBatch: 1, frozenShare }), 100, 3).memory;
  const [all, some] = [memoryOf(0), memoryOf(0.5)];
  const block = 4 * (12 * 128 * 128 + 13 * 128); // products with their biases, and two norms
  const embedding = 4 * (128 * 48 + 2 * 128); // of patches of 4 x 4 x 3, and the class token
  expect(all.gradients - some.gradients).toBe(2 * block + embedding);
  expect(all.moments - some.moments).toBe(2 * (2 * block + embedding));
  expect([some.weights, some.average]).toEqual([all.weights, all.average]);
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

describe("plans of several ranks", () => {
  const planning = gpuPlanningDevice(device);
  const vit = vitConfig({ patchPixels: 4, width: 96, blocks: 4, heads: 3, heightPixels: 64, widthPixels: 64 });
  const config = refineConfig({ ...smallHeads, batch: 16, microBatch: 2, localViews: 2 });
  const planOf = (ranks: number, bytesPerSecond?: number, change: Partial<RefineConfig> = {}) =>
    dryRun(planning, vit, { ...config, ...change }, 100, 3, { ranks, bytesPerSecond });

  it("tell memory and work of one rank, and the bytes that a ring sends", { timeout: 60_000 }, () => {
    const [one, four] = [planOf(1), planOf(4)];
    expect(one.exchange).toBeUndefined();
    const arena = one.memory.average; // of the encoder's parameters
    const perHead = 4 * 16 * 4 * 96; // batch, views, width
    // The first of four ranks has one of two heads, and four of 16 images.
    const featureBytes = perHead / 4 + perHead * (3 / 4);
    expect(four.exchange).toEqual({ ranks: 4, gradientBytes: Math.round(1.5 * arena), featureBytes });
    expect(four.memory.queues).toBe(one.memory.queues / 2);
    expect(four.flopsPerUpdate).toBeLessThan(0.3 * one.flopsPerUpdate);
    expect(four.memory.total).toBeLessThan(one.memory.total);
    const fixed = planOf(4, undefined, { reproducible: true, gradientPart: 2 }); // one subtree each
    expect(fixed.exchange?.gradientBytes).toBe(four.exchange?.gradientBytes);
    expect(() => planOf(3)).toThrow(/batch of 16 cannot be shared evenly by 3 ranks/);
  });

  it("expect less of slow connections, and tell from where more ranks do not help", { timeout: 60_000 }, () => {
    const [fast, slow] = [1e12, 1e6].map((bytes) => planOf(2, bytes).exchange?.expected);
    expect(fast?.efficiency).toBeGreaterThan(0.5);
    expect(fast?.efficiency).toBeLessThanOrEqual(1);
    expect(slow?.mostUseful).toBe(1);
    expect(slow?.secondsPerUpdate).toBeGreaterThan(fast?.secondsPerUpdate ?? Number.NaN);
    expect(slow?.efficiency).toBeCloseTo((slow?.secondsAlone ?? 0) / (2 * (slow?.secondsPerUpdate ?? 0)));
  });
});
