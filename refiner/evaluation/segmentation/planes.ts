import type { RgbImage } from "../../data/image_source.ts";
import type { Region } from "../../data/masks/label_map.ts";

/** Values `[channels, height, width]`. */
export interface Planes {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly data: Float32Array;
}

/** Per channel, on the scale 0 … 1. */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

/** An image as a model takes it: `(value / 255 - mean) / deviation`. */
export function normalisedPlanes(image: RgbImage, { mean, deviation }: Normalisation): Planes {
  const { width, height, channels } = image;
  const pixels = width * height;
  const data = new Float32Array(channels * pixels);
  for (let c = 0; c < channels; c++) {
    const [middle, spread] = [mean[c] ?? 0, deviation[c] ?? 1];
    for (let i = 0; i < pixels; i++)
      data[c * pixels + i] = ((image.data[i * channels + c] ?? 0) / 255 - middle) / spread;
  }
  return { channels, height, width, data };
}

/**
 * Copies a rectangle of an image to a batch. What it has outside the image is 0, which is the mean of normalised images.
 *
 * @param target - `[images, channels, height of the region, width of the region]`
 * @param region - may begin left of and above the image, and end behind it
 */
export function copyRegion(target: Float32Array, place: number, planes: Planes, region: Region): void {
  const { channels } = planes;
  const [fromY, toY] = [Math.max(0, region.top), Math.min(planes.height, region.top + region.height)];
  const [fromX, toX] = [Math.max(0, region.left), Math.min(planes.width, region.left + region.width)];
  const size = region.height * region.width;
  target.fill(0, place * channels * size, (place + 1) * channels * size);
  for (let c = 0; c < channels; c++)
    for (let y = fromY; y < toY; y++) {
      const from = (c * planes.height + y) * planes.width;
      const to = (place * channels + c) * size + (y - region.top) * region.width + fromX - region.left;
      target.set(planes.data.subarray(from + fromX, from + toX), to);
    }
}
