import { expect, it } from "vitest";
import { openCheckpoint } from "../../../../engine/files/index.ts";
import { Device, type LossScale, MissingFeatureError } from "../../../../engine/index.ts";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../../../models/index.ts";
import { imagesInMemory } from "../../../../refiner/data/index.ts";
import { type PretrainEvent, type PretrainResult, pretrain } from "../../../../refiner/methods/mae/pretrain.ts";
import { pretrainConfig } from "../../../../refiner/methods/mae/pretrain_config.ts";
import { type RefineEvent, type RefineResult, refine } from "../../../../refiner/methods/refine/refine.ts";
import { type RefineSettings, refineConfig } from "../../../../refiner/methods/refine/refine_config.ts";
import { MemoryRunStore } from "../../../../refiner/training/run_store.ts";
import { testDevice } from "../../../device.ts";

const device = await testDevice();
const hasHalf = device.features.has("shader-f16");
const reason = `${device.info.name}: no shader-f16`;

const settings: RefineSettings = {
  heads: [1, "last"],
  projectorWidth: 32,
  predictorWidth: 32,
  outputWidth: 16,
  queueLength: 64,
  topK: 4,
  batch: 16,
  stage2Epochs: 1,
  stage3Epochs: 3,
  stage3Warmup: 1,
  localViews: 2,
  precision: "f16",
};

function images(count = 70) {
  return imagesInMemory(
    Array.from({ length: count }, (_, i) => ({
      width: 20,
      height: 16,
      channels: 3 as const,
      data: Uint8Array.from({ length: 960 }, (__, k) => (k * (i + 3) * 7 + (i % 5) * 50) & 255),
    })),
  );
}

function encoder(on = device): VisionTransformer {
  const config = vitConfig({ patchPixels: 4, width: 24, blocks: 2, heads: 3, heightPixels: 16, widthPixels: 16 });
  const model = new VisionTransformer(on, config);
  initializeParameters(model.parameters, vitParameters(config), 1);
  model.writeSincosPositions();
  return model;
}

interface Followed<Event, Result> {
  readonly events: Event[];
  readonly result: Result;
}

/** Runs until the end, or aborts after some updates. */
async function follow<Event extends { readonly kind: string }, Result>(
  start: (signal: AbortSignal) => AsyncGenerator<Event, Result>,
  updates = Number.POSITIVE_INFINITY,
): Promise<Followed<Event, Result>> {
  const stop = new AbortController();
  const run = start(stop.signal);
  const events: Event[] = [];
  for (;;) {
    const next = await run.next();
    if (next.done) return { events, result: next.value };
    events.push(next.value);
    if (events.filter(({ kind }) => kind === "update").length === updates) stop.abort();
  }
}

function refineIn(
  store: MemoryRunStore,
  updates: number | undefined,
  changes: RefineSettings & { readonly resume?: boolean } = {},
): Promise<Followed<RefineEvent, RefineResult>> {
  const { resume = false, ...rest } = changes;
  const config = refineConfig({ ...settings, ...rest });
  return follow((signal) => refine({ encoder: encoder(), images: images(), config, store, resume, signal }), updates);
}

interface Whole {
  readonly store: MemoryRunStore;
  readonly followed: Followed<RefineEvent, RefineResult>;
}
let whole: Promise<Whole> | undefined;

/** A refinement in f16 from its beginning to its end; several tests look at it. */
function wholeRun(): Promise<Whole> {
  const start = async () => {
    const store = new MemoryRunStore();
    return { store, followed: await refineIn(store, undefined) };
  };
  whole ??= start();
  return whole;
}

function pretrainIn(
  store: MemoryRunStore,
  precision: "f32" | "f16",
  updates?: number,
  resume = false,
): Promise<Followed<PretrainEvent, PretrainResult>> {
  const config = pretrainConfig({
    ...{ pixels: 16, patch: 4, width: 24, blocks: 2, attentionHeads: 3 },
    ...{ decoderWidth: 16, decoderBlocks: 1, decoderHeads: 2, batch: 16, epochs: 4, warmup: 1, learningRate: 1e-2 },
    precision,
  });
  return follow((signal) => pretrain({ device, images: images(), config, store, resume, signal }), updates);
}

async function newest(store: MemoryRunStore): Promise<Uint8Array> {
  const source = await store.open(`checkpoints/${(await store.list("checkpoints")).at(-1)}`);
  return source.read(0, source.sizeBytes);
}

function notices(events: readonly (RefineEvent | PretrainEvent)[]): string[] {
  return events.flatMap((event) => (event.kind === "notice" ? [event.text] : []));
}

/** The loss scale after each update that has one. */
function lossScales(events: readonly (RefineEvent | PretrainEvent)[]): LossScale[] {
  return events.flatMap((event) => (event.kind === "update" && event.lossScale ? [event.lossScale] : []));
}

it("a refinement in f16 gives the same bytes whether it was interrupted or not", {
  timeout: 240_000,
}, async (context) => {
  if (!hasHalf) context.skip(reason);
  const { store: straight } = await wholeRun();
  const broken = new MemoryRunStore();
  await refineIn(broken, 2);
  for (const updates of [4, 3, undefined]) await refineIn(broken, updates, { resume: true });
  expect(Buffer.compare(await newest(broken), await newest(straight))).toBe(0);
  const source = await straight.open(`checkpoints/${(await straight.list("checkpoints")).at(-1)}`);
  const checkpoint = await openCheckpoint(source);
  expect(checkpoint.tensors.get("optimizer.encoder.lossScale")?.shape).toEqual([5]);
  await checkpoint.close();
});

it("counts skipped updates in the metrics and says how many", { timeout: 240_000 }, async (context) => {
  if (!hasHalf) context.skip(reason);
  const { store, followed } = await wholeRun();
  const { events, result } = followed;
  const scales = lossScales(events);
  expect(scales).toHaveLength(12);
  const skipped = scales.at(-1)?.skipped ?? 0;
  expect(skipped, "the usual start of the loss scale is too large for so small a batch").toBeGreaterThan(0);
  expect(scales.at(-1)?.scale).toBe(65536 / 2 ** skipped);
  const texts = notices(events);
  expect(texts.filter((text) => /f16 overflow, the encoder's update was skipped/.test(text))).toHaveLength(skipped);
  expect(texts.at(-1)).toBe(`f16 overflow skipped ${skipped} of 12 updates of the encoder`);
  expect(result.skippedUpdates).toBe(skipped);
  const lines = ((await store.readText("metrics.jsonl")) ?? "").trim().split("\n");
  expect(JSON.parse(lines.at(-1) ?? "{}")).toMatchObject({ lossScale: { skipped } });
});

it("goes on in f16 from a checkpoint of f32 and says that the loss scale starts anew", {
  timeout: 240_000,
}, async (context) => {
  if (!hasHalf) context.skip(reason);
  const store = new MemoryRunStore();
  await refineIn(store, 6, { precision: "f32" });
  const { events, result } = await refineIn(store, undefined, { resume: true });
  expect(notices(events)[0]).toMatch(/was written in f32 and holds no loss scale/);
  expect(result.finished).toBe(true);
});

it("masked pre-training in f16 follows the losses of f32, and resumes to the same bytes", {
  timeout: 240_000,
}, async (context) => {
  if (!hasHalf) context.skip(reason);
  const lossesOf = ({ events }: Followed<PretrainEvent, PretrainResult>): number[] =>
    events.flatMap((event) => (event.kind === "update" ? [event.loss] : []));
  const store = new MemoryRunStore();
  const half = await pretrainIn(store, "f16");
  const full = await pretrainIn(new MemoryRunStore(), "f32");
  const [expected, actual] = [lossesOf(full), lossesOf(half)];
  expect(lossScales(half.events)).toHaveLength(16);
  expect(half.result.skippedUpdates).toBe(0);
  expect(notices(half.events).at(-1)).toBe("f16 overflow skipped 0 of 16 updates");
  // A mean over hundreds of pixels is nearer to f32 than any of them: within one rounding to f16, 11-bit mantissa.
  const drift = actual.map((loss, i) => Math.abs(loss / (expected[i] ?? 0) - 1));
  expect(Math.max(...drift)).toBeLessThan(2 ** -11);
  expect(expected.at(-1)).toBeLessThan(0.9 * (expected[0] ?? 0));
  const broken = new MemoryRunStore();
  await pretrainIn(broken, "f16", 3);
  await pretrainIn(broken, "f16", undefined, true);
  expect(Buffer.compare(await newest(broken), await newest(store))).toBe(0);
});

it("refuses f16 where the device has no shader-f16, and names the remedy", async () => {
  const plain = new Device(device.gpu, { device: device.gpu });
  Object.defineProperty(plain, "features", { value: new Set() });
  const config = refineConfig(settings);
  const store = new MemoryRunStore();
  const message = /precision f16: needs the feature shader-f16, which .* lacks; use f32 or another adapter/;
  const refinement = refine({ encoder: encoder(plain), images: images(), config, store });
  await expect(refinement.next()).rejects.toThrow(MissingFeatureError);
  const again = refine({ encoder: encoder(plain), images: images(), config, store });
  await expect(again.next()).rejects.toThrow(message);
  const training = pretrain({
    device: plain,
    images: images(),
    config: pretrainConfig({ batch: 16, precision: "f16" }),
    store,
  });
  await expect(training.next()).rejects.toThrow(message);
});
