import { z } from "zod";
import type { ImageBatch } from "../data/index.ts";
import { type Exchange, oneRank } from "../exchange/exchange.ts";
import { laneChecksum, valueChecksum } from "../training/lane_checksum.ts";

/** Width, height, channels and checksum of an image. */
const pixelsSchema = z.array(z.tuple([z.int(), z.int(), z.int(), z.string()]));

/**
 * Checksum of a batch as it reaches the device: pixels, sizes, labels and places in the data set; on several ranks, which hold a part
 * of its images each, of the whole batch, at all of them. It finds damage, not forgery.
 */
export async function batchHash(
  { images, indices, labels }: ImageBatch,
  exchange: Exchange = oneRank,
): Promise<string> {
  const own = images.map(({ width, height, channels, data }) => [width, height, channels, laneChecksum(data)]);
  const told = exchange.size === 1 ? undefined : await exchange.share(JSON.stringify(own));
  const pixels = told?.flatMap((text) => pixelsSchema.parse(JSON.parse(text))) ?? own;
  return valueChecksum([[...indices], [...labels], pixels]);
}
