import { hostUniform } from "../../../engine/index.ts";
import type { ImageBatch } from "../../data/batches/batches.ts";
import type { LabelMap } from "../../data/masks/label_map.ts";
import { centredIn, cropPixels, fittedSize, padLabels } from "../../data/masks/labelled_crop.ts";
import type { LabelRules } from "../../data/masks/mask_labels.ts";
import { labelledPixels, type MaskSource } from "../../data/masks/mask_source.ts";
import { copyRegion, normalisedPlanes } from "./planes.ts";
import type { SegmentationView } from "./segmentation_encoder.ts";

/** Range of the published scaling. */
const ratios = [0.5, 2] as const;
/** Scaling, mirroring, and two per crop, of which up to eleven are drawn. */
const drawsPerImage = 2 + 2 * 11;

/** A batch as the encoder and the loss take it. */
export interface CroppedBatch {
  /** `[images, channels, side, side]` */
  readonly images: Float32Array;
  readonly labels: readonly LabelMap[];
}

/**
 * Fresh random crops of a batch. They depend on seed, epoch and the image's place in the data set only.
 *
 * @throws DataFormatError for a mask that does not fit
 */
export async function trainingCrops(
  batch: ImageBatch,
  masks: MaskSource,
  rules: LabelRules,
  { side, channels, normalisation }: SegmentationView,
  moment: { readonly seed: number; readonly epoch: number },
): Promise<CroppedBatch> {
  const images = new Float32Array(batch.images.length * channels * side * side);
  const labels: LabelMap[] = [];
  for (const [place, image] of batch.images.entries()) {
    const index = batch.indices[place] ?? 0;
    const whole = await labelledPixels(masks, index, image, rules);
    const draws = drawsOf(moment.seed, moment.epoch * masks.length + index);
    const crop = cropPixels(whole, fittedSize(image, side, draws.ratio), side, draws);
    const { top, left } = centredIn(side, crop.image);
    const region = { top: -top, left: -left, height: side, width: side };
    copyRegion(images, place, normalisedPlanes(crop.image, normalisation), region);
    labels.push(padLabels(crop.labels, side));
  }
  return { images, labels };
}

function drawsOf(seed: number, step: number) {
  const uniform = hostUniform(drawsPerImage, { seed, purpose: "segmentation crop", step });
  const [ratio = 0, flip = 0] = uniform;
  let next = 2;
  const below = (end: number): number => Math.floor((uniform[next++] ?? 0) * end);
  return {
    ratio: ratios[0] + ratio * (ratios[1] - ratios[0]),
    flip,
    place: (slack: { readonly height: number; readonly width: number }) =>
      [below(slack.height + 1), below(slack.width + 1)] as const,
  };
}
