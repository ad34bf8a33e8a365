import type { Device } from "../../../engine/index.ts";
import { asImageSource, type ImageInput } from "../../data/sources/image_input.ts";
import { bytesPerImage } from "../../data/views/view_inputs.ts";
import { type ExportedRun, type ExportedStep, exportUpdate } from "../../training/export_update.ts";
import { decodedSide, MaeMethod } from "./mae_method.ts";
import { type GivenModel, startModel } from "./mae_model.ts";
import type { PretrainConfig } from "./pretrain_config.ts";

export interface ExportPretrainStepOptions extends ExportedRun {
  readonly device: Device;
  /** The images of the run: their number and largest size are part of its step. */
  readonly images: ImageInput;
  readonly config: PretrainConfig;
  /** What the run began with, where weights were given; they become those of the checkpoint. */
  readonly encoder?: GivenModel;
}

/**
 * The update of a pre-training as one file for `mimrefine/step`, with the state of its newest checkpoint: encoder, decoder and moments.
 * Its inputs are packed images with the parameters of their views, the mask, and the scalars of the optimisers (see `stepScalars`).
 *
 * @throws OptionError for a reproducible run, which sums over fixed parts by programs of their own; CheckpointError where there is no
 *   whole checkpoint
 */
export async function exportPretrainStep(options: ExportPretrainStepOptions): Promise<ExportedStep> {
  const { device, config, encoder } = options;
  const images = await asImageSource(options.images);
  const { model, free } = startModel(device, config, images.channels, encoder);
  const imageBytes = bytesPerImage(images, decodedSide(config));
  const method = new MaeMethod(model, config, { images: images.length, imageBytes, source: "given weights" });
  try {
    return await exportUpdate(method, options);
  } finally {
    method.destroy();
    free();
  }
}
