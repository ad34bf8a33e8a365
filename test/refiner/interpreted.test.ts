// The method without any GPU, by the rules that a reproducible device keeps.
import { expect, it } from "vitest";
import type { Device } from "../../engine/index.ts";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../models/index.ts";
import { type ImageItem, MemoryRunStore, pretrain, pretrainConfig, refine, refineConfig } from "../../refiner/index.ts";
import { testDevice } from "../device.ts";

const adapter = await testDevice({ reproducible: true });
const interpreter = await testDevice({ adapter: "interpreter", reproducible: true });

async function* photographs(): AsyncGenerator<ImageItem> {
  for (let i = 0; i < 8; i++)
    yield {
      width: 20,
      height: 16,
      channels: 3,
      data: Uint8Array.from({ length: 960 }, (_, k) => (k * (i + 3) * 7) & 255),
    };
}

/** The files that a refinement of one update per stage leaves. */
async function refined(device: Device): Promise<Uint8Array[]> {
  const vit = vitConfig({ patchPixels: 8, width: 16, blocks: 2, heads: 2, heightPixels: 16, widthPixels: 16 });
  const encoder = new VisionTransformer(device, vit);
  initializeParameters(encoder.parameters, vitParameters(vit), 1);
  encoder.writeSincosPositions();
  const config = refineConfig({
    ...{ heads: [0, "last"], projectorWidth: 16, predictorWidth: 16, outputWidth: 8, queueLength: 16, topK: 4 },
    ...{ batch: 8, localViews: 1, stage2Epochs: 1, stage2Warmup: 0, stage3Epochs: 1, stage3Warmup: 0 },
  });
  const store = new MemoryRunStore();
  for await (const _ of refine({ encoder, images: photographs(), config, store }));
  return filesOf(store, ["encoder.safetensors"]);
}

/** The checkpoint that a pre-training of two updates leaves. */
async function pretrained(device: Device): Promise<Uint8Array[]> {
  const config = pretrainConfig({
    ...{ pixels: 16, patch: 8, width: 16, blocks: 1, attentionHeads: 2, decoderWidth: 16, decoderBlocks: 1 },
    ...{ decoderHeads: 2, batch: 4, epochs: 1, warmup: 0 },
  });
  const store = new MemoryRunStore();
  for await (const _ of pretrain({ device, images: photographs(), config, store }));
  return filesOf(store, []);
}

async function filesOf(store: MemoryRunStore, names: readonly string[]): Promise<Uint8Array[]> {
  const checkpoints = (await store.list("checkpoints")).map((file) => `checkpoints/${file}`);
  return Promise.all(
    [...names, ...checkpoints].map(async (file) => {
      const source = await store.open(file);
      return source.read(0, source.sizeBytes);
    }),
  );
}

const trainings: [name: string, files: number, train: (device: Device) => Promise<Uint8Array[]>][] = [
  ["refines: encoder, heads, queues and moments", 3, refined],
  ["pre-trains: masked autoencoder and moments", 1, pretrained],
];

it.each(trainings)("to the bytes of the adapter, the interpreter %s", { timeout: 120_000 }, async (_, files, train) => {
  const [given, wanted] = [await train(interpreter), await train(adapter)];
  expect(given).toHaveLength(files);
  expect(given.map(({ length }) => length)).toEqual(wanted.map(({ length }) => length));
  const places = given.map((bytes, i) => bytes.findIndex((byte, at) => byte !== wanted[i]?.[at]));
  expect(places).toEqual(given.map(() => -1));
});
