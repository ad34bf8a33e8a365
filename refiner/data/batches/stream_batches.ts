import { DataOptionError } from "../errors.ts";
import type { RgbImage } from "../image_source.ts";
import { checkImage, type LabelledImage } from "../sources/in_memory.ts";
import type { ImageBatch } from "./batches.ts";

/**
 * Batches of a stream of unknown or unlimited length, in its order. Its images are numbered as they come, so each
 * counts as a sample of its own; images left over at the end are dropped.
 *
 * @throws DataFormatError if an image's size does not fit its data, or grey and colour are mixed
 */
export async function* streamBatches(
  stream: AsyncIterable<LabelledImage | RgbImage> | Iterable<LabelledImage | RgbImage>,
  options: { readonly batchSize: number },
): AsyncGenerator<ImageBatch, void, void> {
  const { batchSize } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new DataOptionError(`streamBatches: batchSize is ${batchSize}; give a whole number of images, 1 or more`);
  }
  let images: RgbImage[] = [];
  let labels: number[] = [];
  let number = 0;
  let channels: 1 | 3 | undefined;
  for await (const item of stream) {
    const { image, label } = "image" in item ? item : { image: item, label: undefined };
    channels ??= image.channels;
    const first = number * batchSize;
    checkImage(image, channels, `image ${first + images.length}`);
    images.push(image);
    labels.push(label ?? -1);
    if (images.length < batchSize) continue;
    const indices = Uint32Array.from({ length: batchSize }, (_, slot) => first + slot);
    yield { number: number++, images, indices, labels: Int32Array.from(labels) };
    images = [];
    labels = [];
  }
}
