import { OptionError } from "../../../engine/index.ts";
import type { Classifier, VisionTransformer } from "../../../models/index.ts";
import { refuseSmallImages } from "../../data/batches/small_images.ts";
import { asImageSource, type ImageInput } from "../../data/sources/image_input.ts";
import { bytesPerImage } from "../../data/views/view_inputs.ts";
import type { RunStore } from "../../training/run_store.ts";
import { notice } from "../../training/training_events.ts";
import { trainingLoop } from "../../training/training_loop.ts";
import { watchTraining } from "../../verification/watch_training.ts";
import { classesOf, labelledImages } from "./classes.ts";
import type { FinetuneConfig } from "./finetune_config.ts";
import type { EpochAccuracy, FinetuneEvent } from "./finetune_events.ts";
import { type AccuracyTest, FinetuneMethod } from "./finetune_method.ts";
import { decodedSide, imagePixels } from "./finetune_views.ts";
import type { FinetuneRules } from "./parameter_groups.ts";

export type { EpochAccuracy, FinetuneEvent, FinetuneUpdate, TestAccuracy } from "./finetune_events.ts";
export type { AccuracyTest } from "./finetune_method.ts";
export type { FinetuneRules } from "./parameter_groups.ts";

export interface FinetuneOptions {
  /** What is fine-tuned; it stays as it is, the classifier has a copy. */
  readonly encoder: VisionTransformer;
  /** With labels; images without one are left out. */
  readonly images: ImageInput;
  readonly config: FinetuneConfig;
  /** Where checkpoints, metrics and the result go. */
  readonly store: RunStore;
  /** Go on from the newest checkpoint of the store, or from the beginning if none was written yet. */
  readonly resume?: boolean;
  /** What stands in every run checkpoint about where the run came from, such as the digest of its weights. */
  readonly origin?: () => Promise<Readonly<Record<string, string>>>;
  /** Finishes the current update, saves, and ends the run. */
  readonly signal?: AbortSignal;
  /** Completed updates of all stages after which the run stops as by its signal, such as to verify them. */
  readonly until?: number;
  /** Memory of the host process in bytes, for the metrics. */
  readonly hostBytes?: () => number;
  /**
   * Called first in a run that is not resumed, with a function that records the programs without running them: a place for
   * `tuneProgram`, so that the kernel variants are chosen before anything is computed.
   */
  readonly tune?: (record: () => void) => Promise<unknown>;
  /** Accuracy on test images, such as `classifierAccuracy`; called every `testEvery` epochs, and in the end. */
  readonly test?: AccuracyTest;
  /** Whose rules hold beside the settings; default `fine-tuning`. */
  readonly rules?: FinetuneRules;
}

export interface FinetuneResult {
  readonly finished: boolean;
  readonly updates: number;
  /** Updates that f16 overflow skipped; with precision f16. */
  readonly skippedUpdates?: number;
  /** All tests in order; the last one is the result, a better one before it is chosen on the test images. */
  readonly tests: readonly EpochAccuracy[];
  readonly model: Classifier;
}

/**
 * Fine-tunes a whole encoder with a linear head on labelled images: AdamW with layer-wise decay, drop path, label smoothing and mixed
 * images (arXiv 2111.06377, table 9; arXiv 2402.10093, appendix B). The same configuration, data and device give the same bytes,
 * interrupted or not, and micro-batches the same numbers up to rounding.
 *
 * @throws OptionError, DataError, CheckpointError, CollapseError for a loss that is not finite; MissingFeatureError for f16 on a
 *   device without it
 */
export async function* finetune(options: FinetuneOptions): AsyncGenerator<FinetuneEvent, FinetuneResult> {
  const { encoder, config, store, resume, signal, until, hostBytes, origin, test, tune, rules } = options;
  const given = await asImageSource(options.images);
  const { images, notices } = labelledImages(given);
  const { classNames, notices: ofClasses } = classesOf(images);
  if (images.channels !== encoder.config.channels)
    throw new OptionError(
      `finetune: the images have ${images.channels} channels, the encoder takes ${encoder.config.channels}; convert them (matchChannels)`,
    );
  const resizeTo = decodedSide(config, encoder.config);
  const viewPixels = imagePixels(config, encoder.config);
  if (!config.enlarge) await refuseSmallImages("finetune", images, { viewPixels, resizeTo });
  const task = { images: images.length, imageBytes: bytesPerImage(images, resizeTo), classNames, test, rules };
  if (tune && !resume) await tune(() => new FinetuneMethod(encoder, config, task).destroy());
  const method = new FinetuneMethod(encoder, config, task);
  let watch: ReturnType<typeof watchTraining>;
  try {
    for (const text of [...notices, ...ofClasses]) yield notice(text);
    watch = watchTraining(method, config, store);
    const run = { images, resizeTo, settings: config, store, resume, signal, until, hostBytes, origin, watch };
    const { finished, updates, skipped } = yield* trainingLoop(method, run);
    const skippedUpdates = config.precision === "f16" ? { skippedUpdates: skipped } : {};
    return { finished, updates, ...skippedUpdates, tests: method.tests, model: method.handOut() };
  } finally {
    watch?.destroy();
    method.destroy();
  }
}
