import type { RgbImage } from "../image_source.ts";
import { cutLabels, ignored, type LabelMap, placeLabels, type Region } from "./label_map.ts";
import { resizeLabels } from "./nearest.ts";
import { resizeBicubic } from "./resize_bicubic.ts";

/** An image and the class of each of its pixels. */
export interface LabelledPixels {
  readonly image: RgbImage;
  readonly labels: LabelMap;
}

/** Random choices of one training crop. */
export interface CropDraws {
  /** Of the sizes that the image fits into, to the crop's; uniform in 0.5 … 2 as published. */
  readonly ratio: number;
  /** Place of a crop of `side`, drawn anew with every call. @param slack - pixels that the image is larger by */
  readonly place: (slack: { readonly height: number; readonly width: number }) => readonly [top: number, left: number];
  /** In 0 … 1; mirrored below a half. */
  readonly flip: number;
}

/** Tries after the first one. */
const redraws = 10;
/** A crop is drawn anew while one class has this share of its labelled pixels. */
const largestShare = 0.75;

/**
 * Size of an image for a crop of `side` pixels: as large as fits with its shorter side into `side · ratio` and with its longer side
 * into twice that (KappaData, `KDResize` with a keyed ratio, as MIM-Refiner's segmentation probes use it). At least one pixel each.
 */
export function fittedSize(
  { width, height }: { readonly width: number; readonly height: number },
  side: number,
  ratio: number,
): { readonly width: number; readonly height: number } {
  const [shorter, longer] = [Math.min(width, height), Math.max(width, height)];
  const scale = Math.min((2 * side * ratio) / longer, (side * ratio) / shorter);
  return { width: Math.max(1, halfToEven(width * scale)), height: Math.max(1, halfToEven(height * scale)) };
}

/** As Python rounds. */
function halfToEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/**
 * A random crop of at most `side` × `side` pixels of a labelled image at another size (bicubic as Pillow, labels nearest), mirrored or
 * not. It is drawn anew, up to ten times, while one class covers three quarters of its labelled pixels or more, or there is one class
 * only. Labels alone decide that, so that no more of the image is resized than the crop shows.
 *
 * @param size - of the whole image; see {@link fittedSize}
 */
export function cropPixels(
  whole: LabelledPixels,
  size: { readonly width: number; readonly height: number },
  side: number,
  draws: CropDraws,
): LabelledPixels {
  const labels = resizeLabels(whole.labels, size.height, size.width);
  const [height, width] = [Math.min(side, size.height), Math.min(side, size.width)];
  const slack = { height: size.height - height, width: size.width - width };
  const drawn = (): Region => {
    const [top, left] = draws.place(slack);
    return { top, left, height, width };
  };
  let region = drawn();
  for (let redraw = 0; redraw < redraws && !isMixed(cutLabels(labels, region)); redraw++) region = drawn();
  const image = resizeBicubic(whole.image, size.height, size.width, region);
  const cut = { image, labels: cutLabels(labels, region) };
  return draws.flip < 0.5 ? mirrored(cut) : cut;
}

function isMixed({ data }: LabelMap): boolean {
  const counts = new Map<number, number>();
  for (const label of data) if (label !== ignored) counts.set(label, (counts.get(label) ?? 0) + 1);
  const all = [...counts.values()];
  const total = all.reduce((sum, count) => sum + count, 0);
  return all.length > 1 && Math.max(...all) / total < largestShare;
}

/** Where a crop stands in a square that it may be smaller than: in the middle, an odd pixel more on the right and below. */
export function centredIn(
  side: number,
  { width, height }: { readonly width: number; readonly height: number },
): Region {
  return { top: Math.floor((side - height) / 2), left: Math.floor((side - width) / 2), height: side, width: side };
}

/** Labels of a crop in the square that it may be smaller than; what is added is ignored. */
export function padLabels(labels: LabelMap, side: number): LabelMap {
  return placeLabels(labels, centredIn(side, labels));
}

function mirrored({ image, labels }: LabelledPixels): LabelledPixels {
  const { width, height, channels } = image;
  const data = new Uint8Array(image.data.length);
  const mirroredLabels = new Int32Array(labels.data.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [from, to] = [y * width + x, y * width + width - 1 - x];
      mirroredLabels[to] = labels.data[from] ?? 0;
      for (let c = 0; c < channels; c++) data[to * channels + c] = image.data[from * channels + c] ?? 0;
    }
  return { image: { ...image, data }, labels: { ...labels, data: mirroredLabels } };
}
