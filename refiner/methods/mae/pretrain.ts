import type { Device } from "../../../engine/index.ts";
import type { MaskedAutoencoder } from "../../../models/index.ts";
import { refuseSmallImages } from "../../data/batches/small_images.ts";
import { asImageSource, type ImageInput } from "../../data/sources/image_input.ts";
import { bytesPerImage } from "../../data/views/view_inputs.ts";
import type { RunStore } from "../../training/run_store.ts";
import { trainingLoop } from "../../training/training_loop.ts";
import { watchTraining } from "../../verification/watch_training.ts";
import { decodedSide, MaeMethod } from "./mae_method.ts";
import { type GivenModel, startModel } from "./mae_model.ts";
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
  /** Completed updates of all stages after which the run stops as by its signal, such as to verify them. */
  readonly until?: number;
  /** Memory of the host process in bytes, for the metrics. */
  readonly hostBytes?: () => number;
  /** What run checkpoints say about where the run came from, such as a digest of its weights; asked for with the first of them. */
  readonly origin?: () => Promise<Readonly<Record<string, string>>>;
  /**
   * Trained in place, from the weights that it has: an encoder, which gets a new decoder, or a masked autoencoder, which keeps
   * its own. `modelSettings` gives the settings that it decides. Default: a new one with random weights.
   */
  readonly encoder?: GivenModel;
}

export interface PretrainResult {
  readonly finished: boolean;
  readonly updates: number;
  /** Updates that f16 overflow skipped; with precision f16. */
  readonly skippedUpdates?: number;
  readonly model: MaskedAutoencoder;
}

/**
 * Trains a masked autoencoder (arXiv 2111.06377) from random weights, or on from given ones: the control that a refinement of the
 * same encoder is to be compared with.
 *
 * @throws OptionError, also where the settings describe another model than the given one; DataError, CheckpointError, CollapseError
 *   for a loss that is not finite; MissingFeatureError for f16 on a device without it
 */
export async function* pretrain(options: PretrainOptions): AsyncGenerator<PretrainEvent, PretrainResult> {
  const { device, config, store, resume, signal, until, hostBytes, origin, encoder: given } = options;
  if (config.precision === "f16") device.requireFeature("pretrain: precision f16", "shader-f16");
  const images = await asImageSource(options.images);
  const resizeTo = decodedSide(config);
  if (!config.enlarge) await refuseSmallImages("pretrain", images, { viewPixels: config.pixels, resizeTo });
  const { model, free } = startModel(device, config, images.channels, given);
  let method: MaeMethod | undefined;
  let watch: ReturnType<typeof watchTraining>;
  let isHandedOut = false;
  try {
    const task = { images: images.length, imageBytes: bytesPerImage(images, resizeTo) };
    method = new MaeMethod(model, config, { ...task, source: given ? "given weights" : "random weights" });
    watch = watchTraining(method, config, store);
    const run = { images, resizeTo, settings: config, store, resume, signal, until, hostBytes, origin, watch };
    const { finished, updates, skipped } = yield* trainingLoop(method, run);
    const skippedUpdates = config.precision === "f16" ? { skippedUpdates: skipped } : {};
    isHandedOut = true;
    return { finished, updates, ...skippedUpdates, model };
  } finally {
    watch?.destroy();
    method?.destroy();
    if (!isHandedOut) free();
  }
}
