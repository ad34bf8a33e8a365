import type { VisionTransformer } from "../../../models/index.ts";
import { asImageSource, type ImageInput } from "../../data/sources/image_input.ts";
import { bytesPerImage } from "../../data/views/view_inputs.ts";
import { type ExportedRun, type ExportedStep, exportUpdate } from "../../training/export_update.ts";
import { classesOf, labelledImages } from "./classes.ts";
import type { FinetuneConfig } from "./finetune_config.ts";
import { FinetuneMethod } from "./finetune_method.ts";
import { decodedSide } from "./finetune_views.ts";

export interface ExportFinetuneStepOptions extends ExportedRun {
  /** What the run began with; the classifier is a copy of it with the weights of the checkpoint. */
  readonly encoder: VisionTransformer;
  /** The images that the run trains on: their number, classes and largest size are part of its step. */
  readonly images: ImageInput;
  readonly config: FinetuneConfig;
}

/**
 * The update of a fine-tuning as one file for `mimrefine/step`, with the state of its newest checkpoint: classifier, moments and moving
 * average. Its inputs are packed images with the parameters of their views, labels, how they are mixed, dropped paths, and the scalars of
 * the optimiser (see `stepScalars`).
 *
 * @throws OptionError for a run in micro-batches, or a reproducible one, whose update is more than one program; CheckpointError where
 *   there is no whole checkpoint
 */
export async function exportFinetuneStep(options: ExportFinetuneStepOptions): Promise<ExportedStep> {
  const { encoder, config } = options;
  const { images } = labelledImages(await asImageSource(options.images));
  const { classNames } = classesOf(images);
  const imageBytes = bytesPerImage(images, decodedSide(config, encoder.config));
  const method = new FinetuneMethod(encoder, config, { images: images.length, imageBytes, classNames });
  try {
    return await exportUpdate(method, options);
  } finally {
    method.destroy();
  }
}
