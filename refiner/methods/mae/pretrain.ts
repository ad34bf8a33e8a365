import type { Device, LossScale } from "../../../engine/index.ts";
import { type MaskedAutoencoder, saveMae, type VisionTransformer } from "../../../models/index.ts";
import { refuseSmallImages } from "../../data/batches/small_images.ts";
import { BrokenImages, batchesOfEpochs, type ImageSource } from "../../data/index.ts";
import { asImageSource, type ImageInput } from "../../data/sources/image_input.ts";
import { largestArea } from "../../data/views/view_inputs.ts";
import { hasCheckpoint, newestCheckpoint, restoreState, saveCheckpoint } from "../../training/run_checkpoint.ts";
import type { RunStore } from "../../training/run_store.ts";
import { learningRateAt } from "../../training/schedule.ts";
import { StepClock } from "../../training/step_clock.ts";
import { CollapseError } from "../refine/health.ts";
import { MaeTraining, resizeBound } from "./mae_training.ts";
import type { PretrainConfig } from "./pretrain_config.ts";

export interface PretrainOptions {
  readonly device: Device;
  readonly images: ImageInput;
  readonly config: PretrainConfig;
  readonly store: RunStore;
  /** Go on from the newest checkpoint of the store, or from the beginning if none was written yet. */
  readonly resume?: boolean;
  /** Finishes the current update, saves, and ends the run. */
  readonly signal?: AbortSignal;
  /** Memory of the host process in bytes, for the metrics. */
  readonly hostBytes?: () => number;
  /** Trained in place, from the weights that it has; default: a new one with random weights. */
  readonly encoder?: VisionTransformer;
}

export type PretrainEvent =
  /** The first one, before anything is written: the options are right. */
  | { readonly kind: "start"; readonly updates: number; readonly images: number }
  | {
      readonly kind: "update";
      readonly stage: 1;
      readonly update: number;
      readonly of: number;
      readonly epoch: number;
      readonly loss: number;
      readonly learningRate: number;
      /** Norm of all gradients together. */
      readonly gradientNorm: number;
      /** Factor of the next update, and updates skipped so far; with precision f16. */
      readonly lossScale?: LossScale;
      readonly imagesPerSecond: number;
      readonly waitShare: number;
      /** Held on the device after this update. */
      readonly deviceBytes: number;
      readonly hostBytes?: number;
    }
  | { readonly kind: "checkpoint"; readonly file: string }
  /** An image that cannot be read, once each; others take its place. */
  | { readonly kind: "broken"; readonly image: string; readonly text: string }
  | { readonly kind: "notice"; readonly text: string };

export interface PretrainResult {
  readonly finished: boolean;
  readonly updates: number;
  /** Updates that f16 overflow skipped; with precision f16. */
  readonly skippedUpdates?: number;
  readonly model: MaskedAutoencoder;
}

/**
 * Trains a masked autoencoder from random weights (arXiv 2111.06377).
 *
 * @throws OptionError, DataError, CheckpointError, CollapseError for a loss that is not finite; MissingFeatureError for f16 on a
 *   device without it
 */
export async function* pretrain(options: PretrainOptions): AsyncGenerator<PretrainEvent, PretrainResult> {
  const { config } = options;
  if (config.precision === "f16") options.device.requireFeature("pretrain: precision f16", "shader-f16");
  const images = await asImageSource(options.images);
  if (!config.enlarge)
    await refuseSmallImages("pretrain", images, { viewPixels: config.pixels, resizeTo: resizeBound(config) });
  const training = await MaeTraining.prepare(options.device, config, images, options.encoder);
  try {
    return yield* train(training, options, images);
  } finally {
    training.destroy(options.encoder);
  }
}

async function* train(
  training: MaeTraining,
  options: PretrainOptions,
  images: ImageSource,
): AsyncGenerator<PretrainEvent, PretrainResult> {
  const { config, store, signal } = options;
  yield { kind: "start", updates: training.schedule.totalUpdates, images: images.length };
  let update = 0;
  const isBegun = options.resume && (await hasCheckpoint(store));
  if (options.resume && !isBegun) {
    yield { kind: "notice", text: `${store.name}: no checkpoint was written yet; starting at the beginning` };
    await keepMetrics(store, 0);
  }
  if (isBegun) {
    const { checkpoint, file, damaged } = await newestCheckpoint(store);
    for (const text of damaged) yield { kind: "notice", text: `${text}; going back to ${file}` };
    await restoreState(checkpoint, training.state);
    await checkpoint.close();
    update = Number(checkpoint.metadata.get("update"));
    await keepMetrics(store, update);
    yield { kind: "notice", text: `resumed from ${file}` };
  }
  const brokenEvents: PretrainEvent[] = [];
  const broken = new BrokenImages(images.length, {
    maxBad: config.maxBad,
    onBroken: (error, index) => brokenEvents.push({ kind: "broken", image: images.name(index), text: error.message }),
  });
  let skipped = await training.skippedUpdates();
  const clock = new StepClock(config.batch);
  const { updatesPerEpoch, schedule } = training;
  let lastSave = performance.now();
  const save = async (): Promise<PretrainEvent> => {
    await saveCheckpoint(store, update, training.state, { stage: "1", update: String(update) });
    lastSave = performance.now();
    return { kind: "checkpoint", file: `checkpoints/${String(update).padStart(9, "0")}.safetensors` };
  };
  const feed = batchesOfEpochs(images, {
    batchSize: config.batch,
    seed: config.seed,
    first: update,
    end: signal?.aborted ? update : schedule.totalUpdates,
    prefetch: config.prefetch,
    resizeTo: training.resizeTo,
    maxPixels: largestArea(training.resizeTo),
    broken,
  });
  for await (const batch of clock.waiting(feed)) {
    const epoch = Math.floor(update / updatesPerEpoch);
    yield* brokenEvents.splice(0);
    const { loss, ...rest } = await training.run(batch, update, epoch);
    update++;
    const learningRate = learningRateAt(schedule, update - 1);
    const event = {
      kind: "update",
      stage: 1,
      update,
      of: schedule.totalUpdates,
      epoch,
      loss,
      learningRate,
      ...rest,
      ...clock.lap(),
      deviceBytes: training.model.device.counters.heldBytes,
      ...(options.hostBytes ? { hostBytes: options.hostBytes() } : {}),
    } as const;
    await store.appendLine("metrics.jsonl", JSON.stringify(event));
    yield event;
    if (rest.lossScale && rest.lossScale.skipped > skipped) {
      skipped = rest.lossScale.skipped;
      const text = `update ${update}: f16 overflow, the update was skipped (${skipped} so far), the loss scale is now ${rest.lossScale.scale}`;
      yield { kind: "notice", text };
    }
    if (!Number.isFinite(loss))
      throw new CollapseError(
        `pretrain: the loss is ${loss} at update ${update}; lower the learning rate (now ${learningRate})${config.precision === "f16" ? ", or train in precision f32: an activation beyond 65504, the largest f16, has the same effect" : ""}`,
      );
    const isEpochEnd = update % updatesPerEpoch === 0;
    const isDue = isEpochEnd && (update / updatesPerEpoch) % config.checkpointEvery < 1;
    const isTime = performance.now() - lastSave > config.checkpointMinutes * 60_000;
    if (isDue || isTime || signal?.aborted || update === schedule.totalUpdates) yield await save();
    clock.restart();
    if (signal?.aborted) break;
  }
  const finished = update >= schedule.totalUpdates;
  if (finished) {
    if (config.precision === "f16")
      yield { kind: "notice", text: `f16 overflow skipped ${skipped} of ${update} updates` };
    const { model } = training;
    await store.write("mae.safetensors", (sink) =>
      saveMae(sink, model, { source: "random weights", method: "MAE (arXiv 2111.06377)" }),
    );
  }
  if (broken.count > 0)
    yield { kind: "notice", text: `${broken.count} of ${images.length} images were broken and left out` };
  return {
    finished,
    updates: update,
    ...(config.precision === "f16" ? { skippedUpdates: skipped } : {}),
    model: training.handOut(),
  };
}

/** Drops the lines of updates that will be made again. */
async function keepMetrics(store: RunStore, updates: number): Promise<void> {
  const lines = ((await store.readText("metrics.jsonl")) ?? "").split("\n").filter((line) => line.endsWith("}"));
  await store.writeText(
    "metrics.jsonl",
    lines
      .slice(0, updates)
      .map((line) => `${line}\n`)
      .join(""),
  );
}
