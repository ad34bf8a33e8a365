// One hash, whatever decides over memory and speed only.
import { expect, it } from "vitest";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../../models/index.ts";
import { imagesInMemory } from "../../../refiner/data/index.ts";
import {
  type FinetuneSettings,
  finetune,
  finetuneConfig,
  MemoryRunStore,
  type PretrainSettings,
  planPretraining,
  pretrain,
  pretrainConfig,
  pretrainModel,
  type RefineSettings,
  refine,
  refineConfig,
} from "../../../refiner/index.ts";
import { decoderOf } from "../../../refiner/methods/mae/mae_model.ts";
import { readHashes } from "../../../refiner/verification/hash_log.ts";
import { testDevice } from "../../device.ts";
import { smallImages, smallSettings } from "./small_run.ts";

const device = await testDevice();
const limit = { timeout: 120_000 };
const images = imagesInMemory(
  Array.from({ length: 16 }, (_, i) => ({
    width: 12,
    height: 10,
    channels: 3 as const,
    data: Uint8Array.from({ length: 360 }, (__, k) => (k * (i + 3) * 7 + (i % 2) * 50) & 255),
  })),
  { labels: Array.from({ length: 16 }, (_, i) => i % 2) },
);

function encoder(): VisionTransformer {
  const config = vitConfig({ patchPixels: 4, width: 16, blocks: 2, heads: 2, heightPixels: 8, widthPixels: 8 });
  const model = new VisionTransformer(device, config);
  initializeParameters(model.parameters, vitParameters(config), 1);
  model.writeSincosPositions();
  return model;
}

/** Hashes of batches and states, and the losses, of a run. */
async function told(store: MemoryRunStore, events: AsyncGenerator<{ kind: string }, { updates: number }>) {
  const losses: number[] = [];
  for (;;) {
    const { done, value } = await events.next();
    if (done) break;
    if (value.kind === "update" && "loss" in value) losses.push(Number(value.loss));
  }
  const lines = (await readHashes(store)) ?? [];
  const states = lines.flatMap((line) => (line.kind === "state" ? [`${line.batch} ${line.state}`] : []));
  return { losses, states };
}

/** Another order of summation, over a few updates. */
function expectClose(losses: readonly number[], others: readonly number[]): void {
  expect(losses).toHaveLength(others.length);
  for (const [i, loss] of losses.entries()) expect(loss).toBeCloseTo(others[i] ?? Number.NaN, 4);
}

async function refined(settings: RefineSettings) {
  const store = new MemoryRunStore();
  const heads = {
    heads: [0, "last" as const],
    projectorWidth: 16,
    predictorWidth: 16,
    outputWidth: 8,
    queueLength: 32,
  };
  const schedule = {
    batch: 8,
    stage2Epochs: 1,
    stage3Epochs: 1,
    stage2Warmup: 0,
    stage3Warmup: 0,
    topK: 4,
    localViews: 1,
  };
  const config = refineConfig({ ...heads, ...schedule, blurSigma: [0.1, 1], enlarge: true, ...settings });
  const model = encoder();
  const result = await told(store, refine({ encoder: model, images, config, store }));
  model.destroy();
  return result;
}

it(
  "refines to one hash with any micro-batch, with state on the host, recomputed blocks and a teacher",
  limit,
  async () => {
    const whole = await refined({ reproducible: true });
    expect(whole.states).toHaveLength(6);
    for (const change of [
      ...[2, 4, 6].map((microBatch) => ({ microBatch })),
      ...[{ offload: ["moments" as const, "average" as const] }, { recompute: true, microBatch: 2 }],
    ]) {
      expect(await refined({ reproducible: true, ...change }), JSON.stringify(change)).toEqual(whole);
    }
    const taught = { reproducible: true, teacherFactor: 0.9, gradientPart: 4 };
    expect(await refined({ ...taught, microBatch: 4 })).toEqual(await refined(taught));
    const plain = await refined({});
    expect(plain.states).toEqual([]);
    expectClose(plain.losses, whole.losses);
  },
);

it("another part is another order of summation", limit, async () => {
  const [two, four] = [await refined({ reproducible: true }), await refined({ reproducible: true, gradientPart: 4 })];
  expect(two.states[3]).toBe(four.states[3]); // the heads see the whole batch
  expect(two.states.at(-1)).not.toBe(four.states.at(-1));
});

async function finetuned(settings: FinetuneSettings) {
  const store = new MemoryRunStore();
  const config = finetuneConfig({ batch: 8, epochs: 1, warmup: 0, enlarge: true, ...settings });
  const model = encoder();
  const result = await told(store, finetune({ encoder: model, images, config, store }));
  model.destroy();
  return result;
}

it("fine-tunes to one hash with any micro-batch, of whole pairs, too", limit, async () => {
  const whole = await finetuned({ reproducible: true });
  expect(whole.states).toHaveLength(3);
  for (const change of [{ microBatch: 2 }, { microBatch: 4, recompute: true }])
    expect(await finetuned({ reproducible: true, ...change })).toEqual(whole);
  const plain = await finetuned({ microBatch: 2 });
  expectClose(plain.losses, whole.losses);
});

it("pre-trains on parts as on the batch, up to rounding", limit, async () => {
  const pretrained = async (settings: PretrainSettings) => {
    const store = new MemoryRunStore();
    const config = pretrainConfig({ ...smallSettings, ...settings });
    return told(store, pretrain({ device, images: smallImages(), config, store }));
  };
  const [parts, plain] = [await pretrained({}), await pretrained({ reproducible: false })];
  expect(parts.losses).toHaveLength(6);
  expectClose(plain.losses, parts.losses);
  const planned = (reproducible: boolean) => {
    const config = pretrainConfig({ ...smallSettings, reproducible });
    const vit = pretrainModel(config, 1);
    const { memory } = planPretraining(device, config, { encoder: vit, decoder: decoderOf(config), images: 12 });
    return memory.gradients;
  };
  expect(planned(true)).toBe(3 * planned(false)); // ceil(log2(4 parts)) sums, and a part
});
