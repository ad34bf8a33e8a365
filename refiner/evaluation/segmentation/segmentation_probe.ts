import { type Device, DeviceMixError, hostPermutation } from "../../../engine/index.ts";
import type { VisionTransformer } from "../../../models/index.ts";
import type { LabelRules } from "../../data/masks/mask_labels.ts";
import { countClasses, type LabelledImageSource, subsetOfMasks } from "../../data/masks/mask_source.ts";
import { subset } from "../../data/sources/derived_sources.ts";
import type { RunStore } from "../../training/run_store.ts";
import type { TrainingEvent } from "../../training/training_events.ts";
import { trainingLoop } from "../../training/training_loop.ts";
import { EvaluationError } from "../core/errors.ts";
import { matchChannels } from "../features/match_channels.ts";
import { ProbeHeads } from "../probes/probe_heads.ts";
import type { Cropper } from "./cropped_pixels.ts";
import type { SegmentationConfig } from "./segmentation_config.ts";
import { segmentationView } from "./segmentation_encoder.ts";
import { segmentationGrid } from "./segmentation_grid.ts";
import { type SegmentationData, type SegmentationEvent, SegmentationMethod } from "./segmentation_method.ts";
import { type SegmentationResult, segmentationOutcome } from "./segmentation_outcome.ts";
import type { SegmentedImage } from "./window_test.ts";

/** Images come as they are stored: masks have their size, and crops are made from all pixels. Below the largest side that decoders take. */
const wholeImages = 16_383;

export interface SegmentationOptions {
  readonly device: Device;
  /** Frozen. */
  readonly model: VisionTransformer;
  readonly train: LabelledImageSource;
  readonly test: LabelledImageSource;
  /** How the numbers of masks become labels. */
  readonly rules?: LabelRules;
  readonly config: SegmentationConfig;
  /** Takes metrics, checkpoints and the chosen head. */
  readonly store: RunStore;
  /** Go on from the newest checkpoint of the store, or from the beginning if none was written yet. */
  readonly resume?: boolean;
  /** Finishes the current update, saves, and ends the run. */
  readonly signal?: AbortSignal;
  /** Side of training crops and test windows; default the model's own. */
  readonly imagePixels?: number | undefined;
  /** Makes the training crops; default: the calling thread. `openCropper` opens threads for it in Node and Deno. */
  readonly cropper?: Cropper;
  /** What a user should know of the data and the memory. */
  readonly onNotice?: (text: string) => void;
  /** Images of a test so far. */
  readonly onTested?: (images: number, total: number) => void;
  /** What the chosen head says of each test image, at the end. */
  readonly onImage?: (segmented: SegmentedImage) => Promise<void>;
}

/**
 * Trains a grid of linear heads on the patches of a frozen encoder to give each pixel a class (the linear segmentation probe of
 * MIM-Refiner, arXiv 2402.10093), tests all of them by sliding windows at the images' own resolution, and chooses one on held-out
 * training images, or on the test images as the publication does.
 *
 * @throws EvaluationError for data that cannot be learned from; DataFormatError for a mask that does not fit its image or its classes;
 *   CollapseError if all heads diverge; CheckpointError
 */
export async function* segmentationProbe(
  options: SegmentationOptions,
): AsyncGenerator<SegmentationEvent | TrainingEvent, SegmentationResult> {
  const { device, model, config, store, resume, signal, onNotice, onTested, onImage } = options;
  if (model.device !== device)
    throw new DeviceMixError("segmentationProbe: the model lives on another device; give the device it was loaded on");
  const view = segmentationView(model, options.imagePixels, config.stride);
  const grid = segmentationGrid(model.config, config.rates);
  const { data, classes } = await prepared(options, view.channels);
  const testing = { rules: data.rules, maxBad: config.maxBad, signal, onNotice, onTested };
  const method = new SegmentationMethod(view, new ProbeHeads(device, grid, classes), config, data, store, testing);
  try {
    onNotice?.(
      `${classes} classes; planned: ${(method.plannedBytes / 1e6).toFixed(1)} MB on the device, weights included`,
    );
    const run = { images: data.train.images, resizeTo: wholeImages, settings: config, store, resume, signal };
    const { finished, updates } = yield* trainingLoop(method, run);
    return { finished, updates, ...(await segmentationOutcome(method, finished, { ...testing, onImage })) };
  } finally {
    method.destroy();
  }
}

/** Images in the model's channels, apart in those that train and those that are held out, and their classes. */
async function prepared(
  { train, test, config, rules = {}, cropper, onNotice }: SegmentationOptions,
  channels: 1 | 3,
): Promise<{ readonly data: SegmentationData; readonly classes: number }> {
  // All masks are looked at before anything is trained: a wrong one would else be met after some epochs.
  const occurring = await countClasses(train.masks, rules);
  const { classes = occurring } = rules;
  if (occurring < 2)
    throw new EvaluationError(
      "segmentation probe: all training masks have one class; there is nothing to tell apart: give masks of two classes at least",
    );
  if (rules.classes === undefined) onNotice?.(`the largest label of the training masks is ${classes - 1}`);
  await countClasses(test.masks, { ...rules, classes });
  const matched = (set: LabelledImageSource) => ({ ...set, images: matchChannels(set.images, channels) });
  const all = { rules: { ...rules, classes }, test: matched(test), cropper };
  if (config.select === "test") return { data: { ...all, train: matched(train) }, classes };
  const count = Math.max(1, Math.round(config.holdOut * train.images.length));
  if (count >= train.images.length)
    throw new EvaluationError(
      `segmentation probe: ${train.images.length} training images leave none to train on beside the held-out ones; give more`,
    );
  const order = hostPermutation(train.images.length, { seed: config.seed, purpose: "held-out images" });
  const part = (indices: Uint32Array): LabelledImageSource =>
    matched({ images: subset(train.images, indices.sort()), masks: subsetOfMasks(train.masks, indices) });
  return {
    data: { ...all, heldOut: part(order.slice(0, count)), train: part(order.slice(count)) },
    classes,
  };
}
