import { open } from "node:fs/promises";
import sharp, { type Sharp } from "sharp";
import type { DecodeOptions, EncodedImage, RgbImage } from "../image_source.ts";

sharp.cache(false); // each file is decoded once per epoch; a cache would only hold memory
sharp.concurrency(1); // images are decoded side by side; threads within one image would only contend

/** A decoded image with memory of its own, which can be transferred between threads. */
export type DecodedImage = RgbImage & { readonly data: Uint8Array<ArrayBuffer> };

/**
 * Decodes JPEG, PNG, WebP, TIFF, GIF (first frame) or AVIF, by content, to 8-bit samples: upright (EXIF orientation),
 * in sRGB (embedded profiles, CMYK and 16 bits are converted; grey is repeated over the channels), transparent parts
 * over white, as on paper. Damaged pixel data is an error; harmless oddities (bytes after the end) are not.
 *
 * @throws Error with the decoder's or the file system's reason
 */
export async function decodeImage(encoded: EncodedImage, options: DecodeOptions): Promise<DecodedImage> {
  const input = "bytes" in encoded ? encoded.bytes : await fileInput(encoded);
  let image = sharp(input, { failOn: "error" }).autoOrient().flatten({ background: "#ffffff" }).toColourspace("srgb");
  if (options.resizeTo !== undefined) {
    image = image.resize({
      width: options.resizeTo,
      height: options.resizeTo,
      fit: "outside",
      withoutEnlargement: true,
    });
  }
  let { data, info } = await pixelsOf(image);
  const { maxPixels = Number.POSITIVE_INFINITY } = options;
  if (info.width * info.height > maxPixels) {
    const raw = { width: info.width, height: info.height, channels: info.channels };
    const reduced = sharp(data, { raw }).resize({ ...sizeWithin(maxPixels, info), fit: "fill" });
    ({ data, info } = await pixelsOf(reduced));
  }
  if (info.channels !== 3) throw new Error(`unexpected ${info.channels} channels after conversion to sRGB`);
  const { width, height } = info;
  // A copy, because the memory of a Buffer cannot be transferred.
  return options.channels === 3
    ? { width, height, channels: 3, data: Uint8Array.from(data) }
    : { width, height, channels: 1, data: luma(data) };
}

/** As a Buffer: sharp 0.35.5 never frees the memory that its `toUint8Array` gives. */
function pixelsOf(image: Sharp) {
  return image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
}

// The same shape, as nearly as whole pixels allow, with an area of at most `maxPixels`.
function sizeWithin(maxPixels: number, { width, height }: { width: number; height: number }) {
  const scale = Math.sqrt(maxPixels / (width * height));
  const shorter = Math.max(1, Math.floor(scale * Math.min(width, height)));
  const longer = Math.min(Math.floor(scale * Math.max(width, height)), Math.floor(maxPixels / shorter));
  return width < height ? { width: shorter, height: longer } : { width: longer, height: shorter };
}

// A whole file is left to the decoder, which reads it in its own thread.
async function fileInput(file: { path: string; offset?: number; lengthBytes?: number }): Promise<string | Uint8Array> {
  if (file.lengthBytes === undefined) return file.path;
  const handle = await open(file.path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(file.lengthBytes), 0, file.lengthBytes, file.offset);
    if (bytesRead < file.lengthBytes) throw new Error(`the archive ends within the image, after ${bytesRead} bytes`);
    return buffer;
  } finally {
    await handle.close();
  }
}

// ITU-R BT.601 luma in the fixed point of Pillow's convert("L"): leaves grey exactly as it is.
function luma(rgb: Uint8Array): Uint8Array<ArrayBuffer> {
  const grey = new Uint8Array(rgb.length / 3);
  for (let pixel = 0; pixel < grey.length; pixel++) {
    const red = rgb[3 * pixel] ?? 0;
    const green = rgb[3 * pixel + 1] ?? 0;
    const blue = rgb[3 * pixel + 2] ?? 0;
    grey[pixel] = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16;
  }
  return grey;
}
