import { EngineError, OptionError } from "../../../engine/index.ts";
import type { RgbImage } from "../image_source.ts";

/** The images of a batch have more bytes than their program has room for. */
export class BatchCapacityError extends EngineError {}

/** Decoded images as {@link views} takes them. */
export interface PackedImages {
  /** Samples of all images one after the other, four to a word; `[capacityBytes / 4]`. */
  readonly images: Uint32Array;
  /** Byte offset, width, height and 0 per image; `[batch, 4]`. */
  readonly table: Uint32Array;
}

/** Memory for the images of a batch, rounded up to whole words. */
export function packedImages(batch: number, capacityBytes: number): PackedImages {
  return { images: new Uint32Array(Math.ceil(capacityBytes / 4)), table: new Uint32Array(4 * batch) };
}

/**
 * Packs decoded images for upload.
 *
 * @param capacityBytes - what the program was recorded for
 * @param into - memory of {@link packedImages} to use again
 * @throws BatchCapacityError if they do not fit
 * @throws OptionError if grey and colour are mixed, or an image's size does not fit its data
 */
export function packImages(
  images: readonly RgbImage[],
  capacityBytes: number,
  into: PackedImages = packedImages(images.length, capacityBytes),
): PackedImages {
  const total = images.reduce((sum, { data }) => sum + data.length, 0);
  const room = Math.min(capacityBytes, into.images.byteLength);
  if (total > room) {
    const sides = images.map(({ width, height }) => Math.min(width, height));
    throw new BatchCapacityError(
      `packImages: ${images.length} images have ${total} bytes, the program has room for ${room}; their shorter sides go up to ${Math.max(...sides)} pixels: bound the decode size (resizeTo), or record the program with a larger capacity`,
    );
  }
  if (into.table.length !== 4 * images.length)
    throw new OptionError(`packImages: ${images.length} images, but the table has ${into.table.length / 4} rows`);
  const bytes = new Uint8Array(into.images.buffer, into.images.byteOffset, into.images.byteLength);
  let offset = 0;
  images.forEach(({ width, height, channels, data }, index) => {
    if (channels !== images[0]?.channels)
      throw new OptionError(`packImages: image ${index} has ${channels} channels, image 0 has ${images[0]?.channels}`);
    if (data.length !== width * height * channels)
      throw new OptionError(
        `packImages: image ${index} has ${data.length} samples, expected ${width} × ${height} × ${channels}`,
      );
    bytes.set(data, offset);
    into.table.set([offset, width, height, 0], 4 * index);
    offset += data.length;
  });
  return into;
}
