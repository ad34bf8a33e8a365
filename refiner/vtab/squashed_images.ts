import type { ImageSource, RgbImage } from "../data/index.ts";
import { resizeBicubic } from "../data/masks/resize_bicubic.ts";

/**
 * Shorter side, in units of the final one, up to which images are squashed as they are: decoders reduce larger ones to it first, and
 * the second reduction to a quarter would have averaged away what is lost.
 */
const fullResolutionFactor = 4;

/**
 * Images squashed to a square whatever their shape, bicubic as Pillow does it, and nothing else: what VTAB-1k shows to a model in
 * training and in tests.
 *
 * @param keptBytes - room for squashed images, which are not decoded again
 */
export function squashedImages(source: ImageSource, sidePixels: number, keptBytes = 0): ImageSource {
  const sizeBytes = sidePixels * sidePixels * source.channels;
  const most = Math.floor(keptBytes / sizeBytes);
  const kept = new Map<number, RgbImage>();
  return {
    length: source.length,
    channels: source.channels,
    largestBytes: sizeBytes,
    label: (index) => source.label(index),
    name: (index) => source.name(index),
    load: async (index, { signal } = {}) => {
      const known = kept.get(index);
      if (known) return known;
      const options = { resizeTo: fullResolutionFactor * sidePixels, ...(signal ? { signal } : {}) };
      const image = resizeBicubic(await source.load(index, options), sidePixels, sidePixels);
      if (kept.size < most) kept.set(index, image);
      return image;
    },
  };
}
