import type { Device } from "../../../../engine/index.ts";
import { randomSource } from "../../../../engine/testing/index.ts";
import { type VisionTransformer, vitConfig } from "../../../../models/index.ts";
import type { ImageBatch } from "../../../../refiner/data/index.ts";
import { finetuneConfig } from "../../../../refiner/index.ts";
import { FinetuneMethod } from "../../../../refiner/methods/finetune/finetune_method.ts";
import { randomEncoder } from "../../../models/random_encoder.ts";

const side = 12;

export const classNames = ["a", "b", "c"];

/** Settings of 8 images per update, everything on. */
export const smallSettings = {
  batch: 8,
  epochs: 2,
  warmup: 1,
  dropPath: 0.4,
  learningRate: 0.02,
} as const;

/** Grey images of 12 pixels and three classes. */
export function smallEncoder(device: Device, kind: "prenorm" | "postnorm" = "prenorm"): VisionTransformer {
  const sizes = { patchPixels: 4, width: 16, blocks: 3, heads: 2, channels: 1 };
  return randomEncoder(device, vitConfig({ ...sizes, kind, heightPixels: side, widthPixels: side }));
}

/** A method on 24 images, with its start values. */
export async function smallMethod(
  encoder: VisionTransformer,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<FinetuneMethod> {
  const config = finetuneConfig({ ...smallSettings, ...settings });
  const task = { images: 24, imageBytes: side * side, classNames };
  const method = new FinetuneMethod(encoder, config, task);
  await method.initialize();
  const [stage] = method.stages;
  if (stage) await method.beginStage(stage, 0);
  return method;
}

/** A batch of noise with labels. */
export function smallBatch(size: number, seed = 1): ImageBatch {
  const random = randomSource(seed);
  return {
    number: 0,
    images: Array.from({ length: size }, () => ({
      width: side,
      height: side,
      channels: 1,
      data: Uint8Array.from({ length: side * side }, () => Math.floor(256 * random())),
    })),
    indices: Uint32Array.from({ length: size }, (_, i) => i),
    labels: Int32Array.from({ length: size }, (_, i) => i % classNames.length),
  };
}

/** Makes updates on batches of noise. @returns what each gave */
export async function trained(method: FinetuneMethod, updates: number) {
  const results = [];
  for (let update = 0; update < updates; update++) {
    const place = { update, total: update, epoch: 0 };
    const { result } = await method.run(smallBatch(method.config.batch, update + 1), place);
    results.push(await result);
  }
  return results;
}
