import { describe, expect, it } from "vitest";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../../../models/index.ts";
import { BrokenImageError, type ImageSource, imagesInMemory } from "../../../../refiner/data/index.ts";
import { adviceForFewUpdates, fewUpdates } from "../../../../refiner/methods/refine/planning/few_updates.ts";
import { type RefineEvent, refine } from "../../../../refiner/methods/refine/refine.ts";
import { type RefineSettings, refineConfig } from "../../../../refiner/methods/refine/refine_config.ts";
import { MemoryRunStore } from "../../../../refiner/training/run_store.ts";
import { testDevice } from "../../../device.ts";

const device = await testDevice();
const settings: RefineSettings = {
  heads: [1, "last"],
  projectorWidth: 32,
  predictorWidth: 32,
  outputWidth: 16,
  queueLength: 64,
  topK: 4,
  batch: 16,
  stage2Epochs: 2,
  stage2Warmup: 1,
  stage3Epochs: 2,
  stage3Warmup: 1,
  localViews: 2,
  blur: [0.5, 0.1, 0.5],
  blurSigma: [0.1, 1],
};

function images() {
  return imagesInMemory(
    Array.from({ length: 70 }, (_, i) => ({
      width: 20,
      height: 16,
      channels: 3 as const,
      data: Uint8Array.from({ length: 960 }, (__, k) => (k * (i + 3) * 7 + (i % 5) * 50) & 255),
    })),
    { labels: Array.from({ length: 70 }, (_, i) => i % 5) },
  );
}

function encoder(): VisionTransformer {
  const config = vitConfig({ patchPixels: 4, width: 24, blocks: 3, heads: 3, heightPixels: 16, widthPixels: 16 });
  const model = new VisionTransformer(device, config);
  initializeParameters(model.parameters, vitParameters(config), 1);
  model.writeSincosPositions();
  return model;
}

async function runUntil(store: MemoryRunStore, updates: number, resume: boolean): Promise<RefineEvent[]> {
  const stop = new AbortController();
  const events: RefineEvent[] = [];
  const run = refine({
    encoder: encoder(),
    images: images(),
    config: refineConfig(settings),
    store,
    resume,
    signal: stop.signal,
  });
  for await (const event of run) {
    events.push(event);
    if (event.kind === "update" && events.filter(({ kind }) => kind === "update").length === updates) stop.abort();
  }
  return events;
}

async function checkpoint(store: MemoryRunStore): Promise<Uint8Array> {
  const newest = (await store.list("checkpoints")).at(-1) ?? "";
  const source = await store.open(`checkpoints/${newest}`);
  return source.read(0, source.sizeBytes);
}

it("gives the same bytes whether a run was interrupted or not", { timeout: 180_000 }, async () => {
  const straight = new MemoryRunStore();
  const events = await runUntil(straight, Number.POSITIVE_INFINITY, false);
  expect(events.filter(({ kind }) => kind === "update")).toHaveLength(16);
  const broken = new MemoryRunStore();
  for (const updates of [3, 4, 6, Number.POSITIVE_INFINITY])
    await runUntil(broken, updates, (await broken.list("checkpoints")).length > 0);
  expect(Buffer.compare(await checkpoint(broken), await checkpoint(straight))).toBe(0);
  expect(await broken.list("checkpoints")).toHaveLength(2);
});

async function damageNewest(store: MemoryRunStore, damage: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  const newest = `checkpoints/${(await store.list("checkpoints")).at(-1)}`;
  const source = await store.open(newest);
  const bytes = damage(await source.read(0, source.sizeBytes));
  await store.write(newest, (sink) => sink.write(bytes));
}

it("falls back to the checkpoint before a damaged one, says so, and ends with the same bytes", {
  timeout: 120_000,
}, async () => {
  const straight = new MemoryRunStore();
  await runUntil(straight, Number.POSITIVE_INFINITY, false);
  const damaged = new MemoryRunStore();
  await runUntil(damaged, 3, false);
  await runUntil(damaged, 4, true);
  await damageNewest(damaged, (bytes) => bytes.subarray(0, bytes.length - 100));
  const events = await runUntil(damaged, Number.POSITIVE_INFINITY, true);
  const notices = events.flatMap((event) => (event.kind === "notice" ? [event.text] : []));
  expect(notices.join("\n")).toMatch(/truncated|bytes.*going back to checkpoints\//s);
  expect(Buffer.compare(await checkpoint(damaged), await checkpoint(straight))).toBe(0);
});

it("creates no buffer and makes one submit per update once it is running", { timeout: 120_000 }, async () => {
  const counts: { buffers: number; submits: number }[] = [];
  const config = refineConfig({
    ...settings,
    stage2Epochs: 0,
    stage3Epochs: 5,
    checkpointEvery: 100,
    checkpointMinutes: 1000,
  });
  for await (const event of refine({ encoder: encoder(), images: images(), config, store: new MemoryRunStore() })) {
    if (event.kind === "update") counts.push({ ...device.counters });
  }
  const steady = counts.slice(6, 18);
  const [first, last] = [steady[0], steady.at(-1)];
  expect((last?.buffers ?? 0) - (first?.buffers ?? 0)).toBe(0);
  expect((last?.submits ?? 0) - (first?.submits ?? 0)).toBe(steady.length - 1);
});

describe("refuses", () => {
  const cases: [string, RefineSettings, RegExp][] = [
    [
      "a batch larger than the data set",
      { batch: 71, queueLength: 128 },
      /70 images are less than one batch of 71; use a batch of at most 70/,
    ],
    ["a micro-batch larger than the batch", { microBatch: 17 }, /microBatch 17 is larger than the batch of 16/],
    [
      "more recomputed blocks than there are",
      { recomputeBlocks: 4 },
      /recomputeBlocks 4 is more than .* 3 blocks; use/,
    ],
    ["a queue shorter than the batch", { queueLength: 8, topK: 4 }, /batch 16 is larger than the queue of 8/],
    ["more neighbours than the queue holds", { queueLength: 16, topK: 17 }, /topK 17 is larger than the queue of 16/],
    [
      "a head at a block that does not exist",
      { heads: [3, "last"] },
      /no block 3 for a head; choose from 0 … 2 or last/,
    ],
    ["more heads than blocks", { heads: [0, 1, 2, "last"] }, /4 heads for 3 blocks/],
    [
      "local views that are no whole patches",
      { localPixels: 7 },
      /localPixels 7 is not a multiple of the patch size 4; choose 8/,
    ],
  ];
  it.each(cases)("%s", async (_, changes, message) => {
    const run = refine({
      encoder: encoder(),
      images: images(),
      config: refineConfig({ ...settings, ...changes }),
      store: new MemoryRunStore(),
    });
    await expect(run.next()).rejects.toThrow(message);
  });

  it("oracle guidance without labels", async () => {
    const unlabelled = imagesInMemory(
      Array.from({ length: 20 }, () => ({ width: 16, height: 16, channels: 3 as const, data: new Uint8Array(768) })),
    );
    const run = refine({
      encoder: encoder(),
      images: unlabelled,
      config: refineConfig({ ...settings, oracle: true }),
      store: new MemoryRunStore(),
    });
    await expect(run.next()).rejects.toThrow(/oracle guidance needs labels/);
  });

  it("an unknown setting, and names the nearest one", () => {
    expect(() => refineConfig({ temprature: 0.1 })).toThrow(/no setting temprature; did you mean temperature/);
  });
});

it("leaves the old checkpoint when writing a new one fails", { timeout: 120_000 }, async () => {
  const store = new MemoryRunStore();
  await runUntil(store, 3, false);
  const before = await checkpoint(store);
  store.write = () => Promise.reject(new Error("ENOSPC: no space left on device"));
  await expect(runUntil(store, 5, true)).rejects.toThrow(/no space left/);
  expect(Buffer.compare(await checkpoint(store), before)).toBe(0);
});

it("starts at the beginning when it is resumed before the first checkpoint", { timeout: 120_000 }, async () => {
  const store = new MemoryRunStore();
  await store.appendLine("metrics.jsonl", '{"kind":"knn","stage":1,"epoch":0,"accuracy":[1]}');
  const events = await runUntil(store, 2, true);
  expect(events.map((event) => (event.kind === "notice" ? event.text : ""))).toContainEqual(
    expect.stringMatching(/no checkpoint was written yet; starting at the beginning/),
  );
  expect((await story(store))[0]).toBe("update 2 0 1"); // the line of the lost run is gone
});

/** Lines of the metrics as the report reads them: what happened, without times and sizes. */
async function story(store: MemoryRunStore): Promise<string[]> {
  const lines = ((await store.readText("metrics.jsonl")) ?? "").trim().split("\n");
  return lines.map((line) => {
    const { kind, stage, epoch, update, accuracy } = JSON.parse(line);
    return `${kind} ${stage} ${epoch} ${update ?? accuracy}`;
  });
}

it("tells the same story in its metrics, evaluations included, when it was interrupted", {
  timeout: 180_000,
}, async () => {
  const run = async (store: MemoryRunStore, updates: number, resume: boolean) => {
    const stop = new AbortController();
    let seen = 0;
    for await (const event of refine({
      encoder: encoder(),
      images: images(),
      config: refineConfig({ ...settings, stage2Epochs: 1, stage3Epochs: 3, evalEvery: 1 }),
      store,
      resume,
      signal: stop.signal,
      evaluate: async () => [0.25, 0.5],
    })) {
      if (event.kind === "update" && ++seen === updates) stop.abort();
    }
  };
  const straight = new MemoryRunStore();
  await run(straight, Number.POSITIVE_INFINITY, false);
  const broken = new MemoryRunStore();
  for (const [i, updates] of [2, 6, 1, 5, Number.POSITIVE_INFINITY].entries()) await run(broken, updates, i > 0);
  expect(await story(broken)).toEqual(await story(straight));
});

it("takes any iterable of images and tensors", { timeout: 120_000 }, async () => {
  async function* stream() {
    for (let i = 0; i < 40; i++) {
      const data = Uint8Array.from({ length: 960 }, (_, k) => (k * (i + 3) * 7 + (i % 5) * 50) & 255);
      yield i % 2 === 0
        ? device.tensor(data, [16, 20, 3], "u8")
        : { width: 20, height: 16, channels: 3 as const, data };
    }
  }
  const kinds: string[] = [];
  const config = refineConfig({ ...settings, stage2Epochs: 0, stage3Epochs: 1, stage3Warmup: 0 });
  for await (const event of refine({ encoder: encoder(), images: stream(), config, store: new MemoryRunStore() }))
    kinds.push(event.kind);
  expect(kinds.filter((kind) => kind === "update")).toHaveLength(2);
});

it("reports a broken image once, by name, and goes on without it", { timeout: 120_000 }, async () => {
  const whole = images();
  const source: ImageSource = {
    ...whole,
    load: async (index, options) => {
      if (index === 7) throw new BrokenImageError("photos/7.jpg", "premature end of file");
      return whole.load(index, options);
    },
  };
  const config = refineConfig({ ...settings, stage2Epochs: 0, stage3Epochs: 3, maxBad: 0.02 });
  const events: RefineEvent[] = [];
  for await (const event of refine({ encoder: encoder(), images: source, config, store: new MemoryRunStore() }))
    events.push(event);
  const broken = events.filter((event) => event.kind === "broken");
  expect(broken).toEqual([expect.objectContaining({ text: expect.stringMatching(/photos\/7\.jpg.*premature/) })]);
  expect(events.at(-1)).toEqual({ kind: "notice", text: "1 of 70 images were broken and left out" });
});

it("says what to change where few updates are planned", async () => {
  const advice = adviceForFewUpdates(refineConfig({}), 5000);
  expect(advice?.plannedUpdates).toBe(200);
  const adjusted = refineConfig({ ...advice?.settings });
  const updates = Math.floor(5000 / adjusted.batch) * (adjusted.stage2Epochs + adjusted.stage3Epochs);
  expect(updates).toBeGreaterThanOrEqual(fewUpdates);
  expect(adviceForFewUpdates(adjusted, 5000)).toBeUndefined();
  expect(adviceForFewUpdates(refineConfig({}), 1_281_167)).toBeUndefined();
});
