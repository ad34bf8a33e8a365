import { hostUniform } from "../../../engine/index.ts";
import type { ImageBatch } from "../../data/batches/batches.ts";
import type { LabelMap } from "../../data/masks/label_map.ts";
import type { LabelRules } from "../../data/masks/mask_labels.ts";
import { labelledPixels, type MaskSource } from "../../data/masks/mask_source.ts";
import { type Cropper, callersCropper, drawsPerCrop } from "./cropped_pixels.ts";
import type { SegmentationView } from "./segmentation_encoder.ts";

/** A batch as the encoder and the loss take it. */
export interface CroppedBatch {
  /** `[images, channels, side, side]` */
  readonly images: Float32Array;
  readonly labels: readonly LabelMap[];
}

/**
 * Fresh random crops of a batch. They depend on seed, epoch and the image's place in the data set only.
 *
 * @param cropper - default: the calling thread
 * @throws DataFormatError for a mask that does not fit
 */
export async function trainingCrops(
  batch: ImageBatch,
  masks: MaskSource,
  rules: LabelRules,
  { side, channels, normalisation }: SegmentationView,
  moment: { readonly seed: number; readonly epoch: number },
  cropper: Cropper = callersCropper,
): Promise<CroppedBatch> {
  const images = new Float32Array(batch.images.length * channels * side * side);
  const crops = await Promise.all(
    batch.images.map(async (image, place) => {
      const index = batch.indices[place] ?? 0;
      const whole = await labelledPixels(masks, index, image, rules);
      const step = moment.epoch * masks.length + index;
      const uniform = hostUniform(drawsPerCrop, { seed: moment.seed, purpose: "segmentation crop", step });
      return cropper.crop({ whole, side, uniform, normalisation });
    }),
  );
  const perImage = channels * side * side;
  for (const [place, crop] of crops.entries()) images.set(crop.planes, place * perImage);
  return { images, labels: crops.map(({ labels }) => labels) };
}
