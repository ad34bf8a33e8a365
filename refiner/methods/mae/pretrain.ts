import type { Device } from "../../../engine/index.ts";
import type { MaskedAutoencoder, VisionTransformer } from "../../../models/index.ts";
import { refuseSmallImages } from "../../data/batches/small_images.ts";
import { asImageSource, type ImageInput } from "../../data/sources/image_input.ts";
import type { RunStore } from "../../training/run_store.ts";
import { trainingLoop } from "../../training/training_loop.ts";
import { decodedSide, MaeMethod } from "./mae_method.ts";
import type { PretrainConfig } from "./pretrain_config.ts";
import type { PretrainEvent } from "./pretrain_events.ts";

export type { PretrainEvent } from "./pretrain_events.ts";

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
  const { device, config, store, resume, signal, hostBytes, encoder } = options;
  if (config.precision === "f16") device.requireFeature("pretrain: precision f16", "shader-f16");
  const images = await asImageSource(options.images);
  const resizeTo = decodedSide(config);
  if (!config.enlarge) await refuseSmallImages("pretrain", images, { viewPixels: config.pixels, resizeTo });
  const method = await MaeMethod.prepare(device, config, images, encoder);
  try {
    const run = { images, resizeTo, settings: config, store, resume, signal, hostBytes };
    const { finished, updates, skipped } = yield* trainingLoop(method, run);
    const skippedUpdates = config.precision === "f16" ? { skippedUpdates: skipped } : {};
    return { finished, updates, ...skippedUpdates, model: method.handOut() };
  } finally {
    method.destroy(encoder);
  }
}
