// What a run leaves on the device: a program may refine again and again.
import { expect, it } from "vitest";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../models/index.ts";
import { imagesInMemory } from "../../refiner/data/index.ts";
import { pretrain } from "../../refiner/methods/mae/pretrain.ts";
import { pretrainConfig } from "../../refiner/methods/mae/pretrain_config.ts";
import { refine } from "../../refiner/methods/refine/refine.ts";
import { refineConfig } from "../../refiner/methods/refine/refine_config.ts";
import { MemoryRunStore } from "../../refiner/training/run_store.ts";
import { testDevice } from "../device.ts";

const device = await testDevice();
const images = imagesInMemory(
  Array.from({ length: 20 }, (_, i) => ({
    width: 16,
    height: 16,
    channels: 3 as const,
    data: Uint8Array.from({ length: 768 }, (__, k) => (k * (i + 3) * 7) & 255),
  })),
);

function newEncoder(): VisionTransformer {
  const config = vitConfig({ patchPixels: 4, width: 24, blocks: 2, heads: 3, heightPixels: 16, widthPixels: 16 });
  const encoder = new VisionTransformer(device, config);
  initializeParameters(encoder.parameters, vitParameters(config), 1);
  encoder.writeSincosPositions();
  return encoder;
}

async function finish<Event, Result>(run: AsyncGenerator<Event, Result>): Promise<Result> {
  for (;;) {
    const { done, value } = await run.next();
    if (done) return value;
  }
}

/** Leaves the loop after some updates, as a caller may. */
async function leave<Event extends { readonly kind: string }>(run: AsyncGenerator<Event>, updates: number) {
  let seen = 0;
  for await (const { kind } of run) if (kind === "update" && ++seen === updates) break;
  expect(seen).toBe(updates);
}

function refinement(encoder: VisionTransformer, microBatch: number) {
  const config = refineConfig({
    heads: [0, "last"],
    projectorWidth: 32,
    predictorWidth: 32,
    outputWidth: 16,
    queueLength: 64,
    topK: 4,
    batch: 8,
    microBatch,
    stage2Epochs: 1,
    stage3Epochs: 1,
    localViews: 1,
    teacherFactor: 0.9,
  });
  return refine({ encoder, images, config, store: new MemoryRunStore() });
}

/** Bytes that two more runs of the same kind leave behind; the first run makes buffers for reading back, which are kept for reuse. */
async function leftBy(run: () => Promise<void>): Promise<number> {
  await run();
  const { heldBytes } = device.counters;
  await run();
  await run();
  return device.counters.heldBytes - heldBytes;
}

const timeout = 120_000;

it.each([0, 3])(
  "a refinement leaves encoder and average, which can be freed; micro-batch %i",
  { timeout },
  async (micro) => {
    const left = await leftBy(async () => {
      const encoder = newEncoder();
      const { ema } = await finish(refinement(encoder, micro));
      expect(device.counters.heldBytes).toBeGreaterThan(2 * encoder.parameters.sizeBytes);
      ema.parameters.destroy();
      encoder.destroy();
    });
    expect(left).toBe(0);
  },
);

it.each([1, 3])("a refinement that is left after update %i leaves the encoder only", { timeout }, async (updates) => {
  const left = await leftBy(async () => {
    const encoder = newEncoder();
    await leave(refinement(encoder, 0), updates);
    expect(encoder.parameters.chunks.every(({ storage }) => storage.kind === "state" && storage.allocated)).toBe(true);
    encoder.destroy();
  });
  expect(left).toBe(0);
});

function pretraining(encoder?: VisionTransformer) {
  const config = pretrainConfig({
    ...{
      pixels: 16,
      patch: 4,
      width: 24,
      blocks: 2,
      attentionHeads: 3,
      decoderWidth: 16,
      decoderBlocks: 1,
      decoderHeads: 2,
    },
    ...{ batch: 8, epochs: 2 },
  });
  return pretrain({ device, images, config, store: new MemoryRunStore(), ...(encoder ? { encoder } : {}) });
}

it("a pre-training leaves its model, which can be freed", { timeout }, async () => {
  const left = await leftBy(async () => {
    const { model } = await finish(pretraining());
    model.destroyDecoder();
    model.encoder.destroy();
  });
  expect(left).toBe(0);
});

it("a pre-training that is left early leaves nothing but the encoder that it was given", { timeout }, async () => {
  expect(await leftBy(() => leave(pretraining(), 1))).toBe(0);
  const left = await leftBy(async () => {
    const encoder = newEncoder();
    await leave(pretraining(encoder), 1);
    encoder.destroy();
  });
  expect(left).toBe(0);
});
