import { OptionError } from "../../../engine/index.ts";
import { BrokenImageError } from "../errors.ts";
import type { ImageSource } from "../image_source.ts";

/** Looked at before a training, spread over the set. */
const sampleSize = 8;

/**
 * Refuses a set whose images are all smaller than the views: crops of them would hold nothing but blur. A few small ones among
 * others are enlarged.
 *
 * @param viewPixels - side of the largest view
 * @param resizeTo - bound of the shorter side while decoding, as in training
 * @throws OptionError
 */
export async function refuseSmallImages(
  operation: string,
  images: ImageSource,
  { viewPixels, resizeTo }: { readonly viewPixels: number; readonly resizeTo: number },
): Promise<void> {
  const count = Math.min(sampleSize, images.length);
  let largest: { readonly width: number; readonly height: number } | undefined;
  for (let i = 0; i < count; i++) {
    const size = await sizeOf(images, Math.floor((i * images.length) / count), resizeTo);
    if (!size) continue;
    if (Math.min(size.width, size.height) >= viewPixels) return;
    if (!largest || Math.min(size.width, size.height) > Math.min(largest.width, largest.height)) largest = size;
  }
  if (!largest) return; // all of them broken, which the training reports
  throw new OptionError(
    `${operation}: the images are smaller than the views of ${viewPixels} × ${viewPixels} px (the largest of ${count} is ${largest.width} × ${largest.height}); give larger images, take smaller views, or allow it with --enlarge (setting enlarge)`,
  );
}

async function sizeOf(images: ImageSource, index: number, resizeTo: number) {
  try {
    return await images.load(index, { resizeTo });
  } catch (error) {
    if (error instanceof BrokenImageError) return undefined;
    throw error;
  }
}
