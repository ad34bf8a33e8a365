import { expect, it } from "vitest";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../models/index.ts";
import { type RefineSettings, refineConfig } from "../../refiner/config.ts";
import { imagesInMemory } from "../../refiner/data/index.ts";
import { type RefineEvent, refine } from "../../refiner/refine.ts";
import { MemoryRunStore } from "../../refiner/run_store.ts";
import { testDevice } from "../device.ts";

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
