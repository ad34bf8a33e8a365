import type { Device } from "../../engine/index.ts";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../models/index.ts";
import { imagesInMemory } from "../data/index.ts";
import { pretrain } from "../methods/mae/pretrain.ts";
import { pretrainConfig } from "../methods/mae/pretrain_config.ts";
import { refine } from "../methods/refine/refine.ts";
import { refineConfig } from "../methods/refine/refine_config.ts";
import { MemoryRunStore } from "../training/run_store.ts";
import { readHashes } from "../verification/hash_log.ts";

/** State that a small training left on this device, beside that of the adapters that the table was made on. */
export interface TrainingHash {
  readonly training: string;
  readonly hash: string;
  readonly expected: string;
  readonly pass: boolean;
}

/** On a reproducible device; equal on lavapipe of Mesa 25.0 and 26.1 and on SwiftShader 5.0. */
const expected = {
  pretrain: "cea710421faff591b5d4de96a408675900002332",
  refine: "b9d667566c6169493b67b02636e3358f0000393e",
} as const;

const images = imagesInMemory(
  Array.from({ length: 16 }, (_, i) => ({
    width: 12,
    height: 10,
    channels: 3 as const,
    data: Uint8Array.from({ length: 360 }, (__, k) => (k * (i + 3) * 7 + (i % 2) * 50) & 255),
  })),
);
const schedule = { batch: 8, warmup: 0, reproducible: true, enlarge: true };

/** Makes a few updates of a pre-training and of a refinement, in parts and twice each, and hashes what they leave. */
export async function reproducibleTrainings(device: Device): Promise<TrainingHash[]> {
  const trainings = { pretrain: pretrained, refine: refined };
  const rows: TrainingHash[] = [];
  for (const training of ["pretrain", "refine"] as const) {
    const hash = await trainings[training](device);
    rows.push({ training, hash, expected: expected[training], pass: hash === expected[training] });
  }
  return rows;
}

async function pretrained(device: Device): Promise<string> {
  const model = { pixels: 8, patch: 4, width: 16, blocks: 2, attentionHeads: 2 };
  const decoder = { decoderWidth: 8, decoderBlocks: 1, decoderHeads: 2 };
  const config = pretrainConfig({ ...model, ...decoder, ...schedule, epochs: 1, recheck: 50 });
  const store = new MemoryRunStore();
  return lastHash(store, pretrain({ device, images, config, store }));
}

async function refined(device: Device): Promise<string> {
  const vit = vitConfig({ patchPixels: 4, width: 16, blocks: 2, heads: 2, heightPixels: 8, widthPixels: 8 });
  const encoder = new VisionTransformer(device, vit);
  initializeParameters(encoder.parameters, vitParameters(vit), 1);
  encoder.writeSincosPositions();
  const { warmup: _, ...common } = schedule;
  const config = refineConfig({
    ...{ heads: [0, "last"], projectorWidth: 16, predictorWidth: 16, outputWidth: 8, queueLength: 32, topK: 4 },
    ...{ stage2Epochs: 1, stage3Epochs: 1, stage2Warmup: 0, stage3Warmup: 0, localViews: 1, microBatch: 4 },
    ...{ ...common, blurSigma: [0.1, 1] },
  });
  const store = new MemoryRunStore();
  try {
    return await lastHash(store, refine({ encoder, images, config, store }));
  } finally {
    encoder.destroy();
  }
}

async function lastHash(store: MemoryRunStore, events: AsyncGenerator<unknown, unknown>): Promise<string> {
  for (;;) if ((await events.next()).done) break;
  const lines = (await readHashes(store)) ?? [];
  const last = lines.findLast((line) => line.kind === "state");
  return last?.kind === "state" ? last.state : "";
}
