import type { ImageBatch } from "../data/index.ts";
import { laneChecksum, valueChecksum } from "../training/lane_checksum.ts";

/** Checksum of a batch as it reaches the device: pixels, sizes, labels and places in the data set. It finds damage, not forgery. */
export function batchHash({ images, indices, labels }: ImageBatch): string {
  const pixels = images.map(({ width, height, channels, data }) => [width, height, channels, laneChecksum(data)]);
  return valueChecksum([[...indices], [...labels], pixels]);
}
