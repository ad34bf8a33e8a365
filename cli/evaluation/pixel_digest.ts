import { createHash } from "node:crypto";
import { BrokenImageError, type ImageSource } from "../../refiner/index.ts";

/** Images whose pixels are looked at: enough to notice another decoder or other files. */
const mostImages = 256;
const shorterSide = 256;

/** What decoded images are, so that a number made from other pixels is known as such: another decoder, other files of the same names. */
export async function pixelDigest(source: ImageSource): Promise<{ readonly images: number; readonly sha256: string }> {
  const images = Math.min(mostImages, source.length);
  const digest = createHash("sha256");
  const at = (i: number): number => Math.floor(((i + 0.5) * source.length) / images);
  const together = 16;
  for (let first = 0; first < images; first += together) {
    const indices = Array.from({ length: Math.min(together, images - first) }, (_, i) => at(first + i));
    for (const bytes of await Promise.all(indices.map((index) => described(source, index)))) digest.update(bytes);
  }
  return { images, sha256: digest.digest("hex") };
}

async function described(source: ImageSource, index: number): Promise<Uint8Array> {
  try {
    const { width, height, channels, data } = await source.load(index, { resizeTo: shorterSide });
    return createHash("sha256").update(`${width} ${height} ${channels}\n`).update(data).digest();
  } catch (error) {
    if (error instanceof BrokenImageError) return new TextEncoder().encode("broken\n");
    throw error;
  }
}
