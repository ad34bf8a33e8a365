import { DataFormatError } from "../errors.ts";
import type { ImageSource, RgbImage } from "../image_source.ts";
import type { LabelledPixels } from "./labelled_crop.ts";
import { type LabelRules, labelsOfIndices, mostClasses } from "./mask_labels.ts";
import type { IndexImage } from "./read_png_indices.ts";

/** Masks of the images of a source, in its order. */
export interface MaskSource {
  readonly length: number;
  /** What to call a mask in a message. */
  name(index: number): string;
  /** @throws DataFormatError if it is not a mask */
  load(index: number): Promise<IndexImage>;
}

/** Images, and the class of each of their pixels. */
export interface LabelledImageSource {
  readonly images: ImageSource;
  readonly masks: MaskSource;
}

/**
 * The labels of an image.
 *
 * @throws DataFormatError if the mask has another size, or a label that is no class
 */
export async function labelledPixels(
  masks: MaskSource,
  index: number,
  image: RgbImage,
  rules: LabelRules,
): Promise<LabelledPixels> {
  const mask = await masks.load(index);
  const name = masks.name(index);
  if (mask.width !== image.width || mask.height !== image.height)
    throw new DataFormatError(
      `mask: ${name} has ${mask.width} × ${mask.height} pixels, its image ${image.width} × ${image.height}; they must be equal (an image that its file says to turn is turned)`,
    );
  return { image, labels: labelsOfIndices(mask, rules, name) };
}

/** The masks at `indices`, in that order. */
export function subsetOfMasks(masks: MaskSource, indices: ArrayLike<number>): MaskSource {
  const inner = (index: number): number => indices[index] ?? -1;
  return {
    length: indices.length,
    name: (index) => masks.name(inner(index)),
    load: (index) => masks.load(inner(index)),
  };
}

/**
 * Largest label of some masks plus one.
 *
 * @throws DataFormatError as {@link labelsOfIndices} does, or if no pixel has a label
 */
export async function countClasses(masks: MaskSource, rules: LabelRules): Promise<number> {
  let largest = -1;
  for (let index = 0; index < masks.length; index++) {
    const { data } = labelsOfIndices(await masks.load(index), { classes: mostClasses, ...rules }, masks.name(index));
    largest = data.reduce((most, label) => Math.max(most, label), largest);
  }
  if (largest < 0)
    throw new DataFormatError(
      `masks: no pixel of ${masks.length} masks has a label, all are ignored; look at the offset of the labels and the ignored number`,
    );
  return largest + 1;
}
