import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { Output } from "../../cli/output/streams.ts";
import { plannedSettings } from "../../cli/runs/planned_offload.ts";
import { Device } from "../../engine/index.ts";
import { vitConfig } from "../../models/index.ts";
import { oneRank } from "../../refiner/exchange/exchange.ts";
import { dryRun, gpuPlanningDevice } from "../../refiner/methods/refine/planning/dry_run.ts";
import { type RefineConfig, refineConfig } from "../../refiner/methods/refine/refine_config.ts";
import { testDevice } from "../device.ts";
import { localRanks } from "../refiner/exchange/local_ranks.ts";
import { run } from "./run_command.ts";

const device = await testDevice();
const minutes = 60_000;
const quiet = new Output({ out: () => {}, err: () => {}, isTerminal: false }, { json: false, quiet: true });

describe("refine --dry-run", () => {
  it("fits the published recipe for L/16 into 24 GB by micro-batches, without any file and without allocating", {
    timeout: 5 * minutes,
  }, async () => {
    const created = vi.spyOn(Device.prototype, "createBuffer");
    const { code, out } = await run("refine", "--preset", "mae_l16", "--dry-run", "--memory", "24GB", "--json");
    expect(code).toBe(0);
    const { fits, changes, memory } = JSON.parse(out);
    expect([fits, memory]).toEqual([false, 24e9]);
    expect(created).not.toHaveBeenCalled();
    created.mockRestore();
    const [{ change, plan }, half] = changes;
    expect(change).toEqual({ microBatch: expect.any(Number) });
    const { total, ...kinds } = plan.memory;
    expect(total).toBeLessThanOrEqual(24e9);
    expect(Object.values<number>(kinds).reduce((sum, bytes) => sum + bytes)).toBe(total);
    // Beside it stands the same in f16, where twice the images fit at once.
    expect(half.change).toEqual({ precision: "f16", microBatch: 2 * change.microBatch });
    expect(half.plan.memory.total).toBeLessThanOrEqual(24e9);
    const doubled = refineConfig({ microBatch: 2 * change.microBatch }, "mae_l16");
    const larger = dryRun(gpuPlanningDevice(device), vitConfig("l16"), doubled, 1_281_167, 3);
    expect(larger.memory.total).toBeGreaterThan(24e9);
    const settled = ["--micro-batch", String(change.microBatch)];
    const { out: text } = await run("refine", "--preset", "mae_l16", "--dry-run", "--memory", "24GB", ...settled);
    expect(text).toMatch(/^fits into 24\.0 GB/m);
  });

  it("plans ranks, and what a connection makes of them", { timeout: 2 * minutes }, async () => {
    const size = [
      "--preset",
      "mae_l16",
      "--dry-run",
      "--memory",
      "80GB",
      "--micro-batch",
      "32",
      "--stage2-epochs",
      "0",
    ];
    const ranks = ["--ranks", "8", "--bandwidth", "1Gb/s"];
    const { code, out, err } = await run("refine", ...size, ...ranks);
    expect(code, err).toBe(0);
    expect(out).toMatch(
      /^on 8 ranks, of which the first is planned: it sends 2\.21 GB per update, 2\.12 GB of gradients/m,
    );
    expect(out).toMatch(/^predicted with 1 Gb\/s each: .* efficiency \d+ %$/m);
    expect(out).toMatch(/^more than \d+ ranks do not help/m);
    const refused = await run("refine", ...size, "--bandwidth", "1Gb/s");
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("give --dry-run and --ranks")]);
    const wrong = await run("refine", ...size, "--ranks", "8", "--bandwidth", "fast");
    expect(wrong.err).toContain("expected a bandwidth, such as 100Gb/s or 12GB/s");
  });

  it.each([
    ["refine", "give --dry-run or --offload auto, or leave it out"],
    ["pretrain", "give --dry-run, or leave it out"],
    ["finetune", "give --dry-run, or leave it out"],
  ])("is needed for %s --memory", async (command, remedy) => {
    const refused = await run(command, "--weights", "none.safetensors", "--images", "none", "--memory", "24GB");
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining(`nothing is planned; ${remedy}`)]);
  });

  it.each([
    ["mae_l16", "6GB", 6e9, 4e9, "moments,average", []],
    ["mae_h14", "10GB", 10e9, 8e9, "moments,average", []],
    ["mae_twob14", "20GB", 20e9, 19e9, "moments,average", []],
    ["mae_twob14", "16GB", 14e9, 26e9, "moments,average,weights", ["--precision", "f16"]],
  ])(
    "fits %s at its published batch into %s with state on the host, in at most 3 % more time",
    {
      timeout: 5 * minutes,
    },
    async (preset, memory, bytes, onTheHost, offload, precision) => {
      const smaller = ["--micro-batch", "4", "--recompute", "--stage2-epochs", "0"];
      const switches = ["--offload", offload, ...smaller, ...precision];
      const { out } = await run("refine", "--preset", preset, "--dry-run", "--memory", memory, ...switches, "--json");
      const { fits, plans } = JSON.parse(out);
      const [{ memory: planned, hostBytes, streamedBytesPerUpdate, predictedSeconds }] = plans;
      expect([fits, plans.length]).toEqual([true, 1]);
      expect(planned.total).toBeLessThanOrEqual(bytes);
      expect(hostBytes).toBeGreaterThan(onTheHost);
      const busSeconds = streamedBytesPerUpdate / 10e9;
      expect(busSeconds / (predictedSeconds - busSeconds)).toBeLessThanOrEqual(0.03);
      const { out: text } = await run("refine", "--preset", preset, "--dry-run", "--memory", memory, ...switches);
      expect(text).toMatch(/predicted at 20 TFLOP\/s and 10 GB\/s: .* to and from the host .* % more time/);
    },
  );

  it("takes the encoder from a preset that a settings file names", { timeout: 5 * minutes }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "mimrefine-dry-run-"));
    const file = join(folder, "settings.yaml");
    const quick = "heads: [last]\nlocalViews: 0\nfrozenShare: 0.9\n"; // the fewest dispatches to plan
    await writeFile(file, `preset: mae_l16\nbatch: 64\nqueueLength: 1024\n${quick}`);
    const { code, out } = await run("refine", "--config", file, "--dry-run");
    await rm(folder, { recursive: true });
    expect([code, out]).toEqual([0, expect.stringMatching(/encoder +303\.1 M parameters/)]);
  });

  it("asks for weights where the preset tells no encoder", async () => {
    const { code, err } = await run("refine", "--preset", "small", "--dry-run");
    expect([code, err]).toEqual([2, expect.stringContaining("--weights")]);
  });
});

it("plans offload auto for a rank, by the least memory of all, and once for all of them", {
  timeout: minutes,
}, async () => {
  const vit = vitConfig({ patchPixels: 4, width: 96, blocks: 4, heads: 3, heightPixels: 64, widthPixels: 64 });
  const config = refineConfig({ batch: 8, queueLength: 64, projectorWidth: 32, predictorWidth: 32, offload: ["auto"] });
  const bytesOf = (own: RefineConfig, ranks = 2) => dryRun(device, vit, own, 100, 3, { ranks }).memory.total;
  const whole = bytesOf({ ...config, offload: [] });
  expect(whole, "one process does not fit").toBeLessThan(bytesOf({ ...config, offload: [] }, 1));
  const planned = (rooms: readonly number[]) => {
    const { exchanges } = localRanks(rooms.length);
    const run = (i: number) => ({
      device,
      vit,
      config,
      images: 100,
      memoryBytes: rooms[i],
      exchange: exchanges[i] ?? oneRank,
    });
    return Promise.all(rooms.map((_, i) => plannedSettings(run(i), quiet)));
  };
  expect(await planned([whole, whole])).toEqual(Array(2).fill({ ...config, offload: [] }));
  const [first = config, second] = await planned([2 * whole, whole - 1]);
  expect(second).toEqual(first);
  expect(bytesOf(first)).toBeLessThan(whole);
});
