import sharp from "sharp";
import type { RgbImage } from "../image_source.ts";

/** Encodes as baseline JPEG with halved colour resolution, as Pillow's default is, and decodes again. */
export async function jpegCodec({ width, height, channels, data }: RgbImage, quality: number): Promise<RgbImage> {
  const encoded = await sharp(data, { raw: { width, height, channels } })
    .jpeg({ quality, chromaSubsampling: "4:2:0", mozjpeg: false })
    .toBuffer();
  const { data: decoded, info } = await sharp(encoded)
    .toColourspace("srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, channels: 3, data: Uint8Array.from(decoded) };
}
