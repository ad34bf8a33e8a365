// What a program sees that embeds the method. Runs in Node, and bundled in Deno and in Chromium.
import { describe, expect, it } from "vitest";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../models/index.ts";
import { type ImageItem, MemoryRunStore, pretrain, pretrainConfig, refine, refineConfig } from "../../refiner/index.ts";
import { testDevice } from "../device.ts";

const device = await testDevice();
const batch = 8;
const imageCount = 20; // two batches and a rest

/** Photographs of nothing, one after the other. */
async function* photographs(): AsyncGenerator<ImageItem> {
  for (let i = 0; i < imageCount; i++)
    yield {
      width: 20,
      height: 16,
      channels: 3,
      data: Uint8Array.from({ length: 960 }, (_, k) => (k * (i + 3) * 7) & 255),
    };
}

function encoder(): VisionTransformer {
  const config = vitConfig({ patchPixels: 4, width: 16, blocks: 2, heads: 2, heightPixels: 16, widthPixels: 16 });
  const model = new VisionTransformer(device, config);
  initializeParameters(model.parameters, vitParameters(config), 1);
  model.writeSincosPositions();
  return model;
}

const refinement = refineConfig({
  heads: [0, "last"],
  projectorWidth: 16,
  predictorWidth: 16,
  outputWidth: 8,
  queueLength: 32,
  topK: 4,
  batch,
  localViews: 2,
  stage2Epochs: 1,
  stage2Warmup: 0,
  stage3Epochs: 1,
  stage3Warmup: 0,
});

const pretraining = pretrainConfig({
  pixels: 16,
  patch: 4,
  width: 16,
  blocks: 2,
  attentionHeads: 2,
  decoderWidth: 16,
  decoderBlocks: 1,
  decoderHeads: 2,
  batch,
  epochs: 2,
  warmup: 0,
});

it("refines images of any iterable, tells every update as it comes, and changes the encoder in stage 3", {
  timeout: 120_000,
}, async () => {
  const model = encoder();
  const weight = model.parameters.get("blocks.0.attn.qkv.weight");
  const before = await weight.read();
  const told: string[] = [];
  let afterStage2: ArrayLike<number> = [];
  for await (const event of refine({
    encoder: model,
    images: photographs(),
    config: refinement,
    store: new MemoryRunStore(),
  })) {
    if (event.kind !== "update") continue;
    told.push(`stage ${event.stage}, update ${event.update}`);
    expect(Object.keys(event.heads)).toEqual(["cls0", "cls"]);
    if (told.length === 2) afterStage2 = await weight.read();
  }
  expect(told).toEqual(["stage 2, update 1", "stage 2, update 2", "stage 3, update 1", "stage 3, update 2"]);
  expect(afterStage2).toEqual(before);
  expect(await weight.read()).not.toEqual(before);
});

it("pre-trains on images of any iterable with losses that fall", { timeout: 120_000 }, async () => {
  const losses: number[] = [];
  const config = { ...pretraining, epochs: 8 };
  for await (const event of pretrain({ device, images: photographs(), config, store: new MemoryRunStore() }))
    if (event.kind === "update") losses.push(event.loss);
  expect(losses).toHaveLength(16);
  expect(losses.at(-1)).toBeLessThan(losses[0] ?? 0);
});

const trainings = [
  {
    name: "refine",
    begin: (options: { store: MemoryRunStore; resume: boolean; signal: AbortSignal }) =>
      refine({ encoder: encoder(), images: photographs(), config: refinement, ...options }),
  },
  {
    name: "pretrain",
    begin: (options: { store: MemoryRunStore; resume: boolean; signal: AbortSignal }) =>
      pretrain({ device, images: photographs(), config: pretraining, ...options }),
  },
];

describe.each(trainings)("$name, four updates", ({ begin }) => {
  it("stops at a signal and goes on from its store to the same bytes", { timeout: 120_000 }, async () => {
    const follow = async (store: MemoryRunStore, stopAfter: number, resume: boolean): Promise<number> => {
      const stop = new AbortController();
      let updates = 0;
      for await (const event of begin({ store, resume, signal: stop.signal }))
        if (event.kind === "update" && ++updates === stopAfter) stop.abort();
      return updates;
    };
    const [straight, stopped] = [new MemoryRunStore(), new MemoryRunStore()];
    expect(await follow(straight, Number.POSITIVE_INFINITY, false)).toBe(4);
    const before = await follow(stopped, 1, false);
    expect(before).toBeLessThan(4); // the update under way is finished
    expect(await follow(stopped, Number.POSITIVE_INFINITY, true)).toBe(4 - before);
    const [actual, expected] = [await newest(stopped), await newest(straight)];
    expect(actual.length).toBe(expected.length);
    expect(actual.findIndex((byte, i) => byte !== expected[i])).toBe(-1); // a diff of both would take minutes
  });
});

it("refuses an unknown setting and names the nearest one", () => {
  expect(() => refineConfig({ temprature: 0.1 })).toThrow(/temprature; did you mean temperature/);
  expect(() => pretrainConfig({ epoch: 3 })).toThrow(/epoch; did you mean epochs/);
});

async function newest(store: MemoryRunStore): Promise<Uint8Array> {
  const source = await store.open(`checkpoints/${(await store.list("checkpoints")).at(-1)}`);
  return source.read(0, source.sizeBytes);
}
