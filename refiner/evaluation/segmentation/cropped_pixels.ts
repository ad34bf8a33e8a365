import type { LabelMap } from "../../data/masks/label_map.ts";
import { centredIn, cropPixels, fittedSize, type LabelledPixels, padLabels } from "../../data/masks/labelled_crop.ts";
import { copyRegion, type Normalisation, normalisedPlanes } from "./planes.ts";

/** Range of the published scaling. */
const ratios = [0.5, 2] as const;
/** Random numbers of a crop: scaling, mirroring, and two per place, of which up to eleven are drawn. */
export const drawsPerCrop = 2 + 2 * 11;

/** What a crop is made from. */
export interface CropRequest {
  readonly whole: LabelledPixels;
  readonly side: number;
  /** Random numbers in 0 … 1, enough for one crop. */
  readonly uniform: Float32Array;
  readonly normalisation: Normalisation;
}

export interface CroppedPixels {
  /** `[channels, side, side]`, normalised. */
  readonly planes: Float32Array;
  readonly labels: LabelMap;
}

/** Makes training crops, wherever it does so. */
export interface Cropper {
  crop(request: CropRequest): Promise<CroppedPixels>;
}

/** Makes one crop. */
export function croppedPixels({ whole, side, uniform, normalisation }: CropRequest): CroppedPixels {
  const draws = drawsOf(uniform);
  const crop = cropPixels(whole, fittedSize(whole.image, side, draws.ratio), side, draws);
  const { top, left } = centredIn(side, crop.image);
  const planes = new Float32Array(crop.image.channels * side * side);
  const region = { top: -top, left: -left, height: side, width: side };
  copyRegion(planes, 0, normalisedPlanes(crop.image, normalisation), region);
  return { planes, labels: padLabels(crop.labels, side) };
}

/** Makes crops in the calling thread. */
export const callersCropper: Cropper = { crop: async (request) => croppedPixels(request) };

/** The same numbers in the same order make the same crop. */
function drawsOf(uniform: Float32Array) {
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
