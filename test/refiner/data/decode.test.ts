import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { describe, expect, it } from "vitest";
import { crc32 } from "../../../engine/files/zip/crc32.ts";
import { decodeImage } from "../../../refiner/data/decoding/decode_node.ts";

const bytesOf = async (image: Sharp) => ({ bytes: new Uint8Array(await image.toBuffer()) });
const flat = (channels: 3 | 4, background: { r: number; g: number; b: number; alpha?: number }) =>
  sharp({ create: { width: 4, height: 2, channels, background } });
const firstPixel = (image: { data: Uint8Array }) => [...image.data.subarray(0, 3)];

describe("decodeImage", () => {
  it.each([
    ["PNG", (image: Sharp) => image.png()],
    ["lossless WebP", (image: Sharp) => image.webp({ lossless: true })],
    ["TIFF", (image: Sharp) => image.tiff({ compression: "lzw" })],
    ["palette PNG", (image: Sharp) => image.png({ palette: true })],
  ])("keeps the values of a %s exactly", async (_, encode) => {
    const image = await decodeImage(await bytesOf(encode(flat(3, { r: 10, g: 200, b: 30 }))), { channels: 3 });
    expect([image.width, image.height, image.channels, image.data.length]).toEqual([4, 2, 3, 24]);
    expect(firstPixel(image)).toEqual([10, 200, 30]);
  });

  it("keeps a JPEG within its quantisation", async () => {
    const encoded = await bytesOf(flat(3, { r: 10, g: 200, b: 30 }).jpeg({ quality: 100, chromaSubsampling: "4:4:4" }));
    const [red = 0, green = 0, blue = 0] = firstPixel(await decodeImage(encoded, { channels: 3 }));
    // Quality 100 quantises coefficients to whole numbers; YCbCr → RGB rounds once more: within 2 per channel.
    expect(Math.max(Math.abs(red - 10), Math.abs(green - 200), Math.abs(blue - 30))).toBeLessThanOrEqual(2);
  });

  it("turns an image upright by its EXIF orientation", async () => {
    const halves = new Uint8Array(24).map((_, at) => (at % 12 < 6 ? 255 : 0)); // 4 × 2, left half white
    const raw = sharp(halves, { raw: { width: 4, height: 2, channels: 3 } });
    const image = await decodeImage(await bytesOf(raw.withMetadata({ orientation: 6 }).png()), { channels: 3 });
    expect([image.width, image.height]).toEqual([2, 4]); // 6: turned by 90° clockwise, so left becomes top
    expect([image.data[0], image.data[image.data.length - 1]]).toEqual([255, 0]);
  });

  it("repeats grey over three channels", async () => {
    const grey = sharp(Uint8Array.of(7, 8, 9, 250), { raw: { width: 2, height: 2, channels: 1 } }).toColourspace("b-w");
    const image = await decodeImage(await bytesOf(grey.png()), { channels: 3 });
    expect([...image.data]).toEqual([7, 7, 7, 8, 8, 8, 9, 9, 9, 250, 250, 250]);
  });

  it("leaves grey values as they are when one channel is asked for", async () => {
    const grey = sharp(Uint8Array.of(7, 8, 9, 250), { raw: { width: 2, height: 2, channels: 1 } }).toColourspace("b-w");
    const image = await decodeImage(await bytesOf(grey.png()), { channels: 1 });
    expect([image.channels, ...image.data]).toEqual([1, 7, 8, 9, 250]);
  });

  it("puts transparent parts over white", async () => {
    const clear = await decodeImage(await bytesOf(flat(4, { r: 200, g: 0, b: 0, alpha: 0 }).png()), { channels: 3 });
    expect(firstPixel(clear)).toEqual([255, 255, 255]);
    const half = await decodeImage(await bytesOf(flat(4, { r: 200, g: 0, b: 0, alpha: 128 / 255 }).png()), {
      channels: 3,
    });
    // 200·a + 255(1 - a) = 227.4 and 255(1 - a) = 127, truncated or rounded.
    expect(firstPixel(half)).toEqual([227, 127, 127]);
  });

  it.each(["png", "tiff"] as const)("reduces 16-bit %s to its upper byte", async (format) => {
    const deep = sharp(Uint16Array.of(0x8000, 0x1234, 0xffff), { raw: { width: 1, height: 1, channels: 3 } });
    const image = await decodeImage(await bytesOf(deep.toColourspace("rgb16").toFormat(format)), { channels: 3 });
    expect([...image.data]).toEqual([0x80, 0x12, 0xff]);
  });

  it("converts CMYK to RGB", async () => {
    const encoded = await bytesOf(flat(3, { r: 255, g: 0, b: 0 }).toColourspace("cmyk").jpeg({ quality: 100 }));
    expect((await sharp(encoded.bytes).metadata()).space).toBe("cmyk");
    const [red = 0, green = 0, blue = 0] = firstPixel(await decodeImage(encoded, { channels: 3 }));
    expect(red).toBeGreaterThan(200); // printing inks cannot reach pure red
    expect(Math.max(green, blue)).toBeLessThan(60);
  });

  it("gives CMYK without a profile the colours of Pillow's conversion", async () => {
    const inks = [172, 10, 127, 140, 47, 171, 196, 151, 0, 0, 0, 0, 255, 255, 255, 255];
    // Image.fromarray(inks, "CMYK").convert("RGB") of Pillow 9.4
    const expected = [37, 110, 58, 85, 34, 24, 255, 255, 255, 0, 0, 0];
    expect([...(await decodeImage({ bytes: cmykTiff(inks) }, { channels: 3 })).data]).toEqual(expected);
  });

  it("scales floats from 0 to 1, and others by the range that the file declares", async () => {
    const unit = await decodeImage({ bytes: floatTiff([0, 0.5, 1, 0.2]) }, { channels: 1 });
    expect([...unit.data]).toEqual([0, 128, 255, 51]);
    const declared = await decodeImage({ bytes: floatTiff([-100, 0, 300, 100], [-100, 300]) }, { channels: 1 });
    expect([...declared.data]).toEqual([0, 64, 255, 128]);
  });

  it("scales floats of three channels as they are, without the curve of sRGB", async () => {
    const samples = Float32Array.of(0, 0.5, 1, 0.2, 0.2, 0.2);
    const tags: TiffTag[] = [
      [258, 3, 32],
      [262, 3, 2],
      [277, 3, 3],
      [279, 4, 24],
      [284, 3, 1],
      [339, 3, 3],
    ];
    const image = await decodeImage({ bytes: tiff(2, 1, tags, new Uint8Array(samples.buffer)) }, { channels: 3 });
    expect([...image.data]).toEqual([0, 128, 255, 51, 51, 51]);
  });

  it("refuses floats of a range that nobody knows, and samples that are no numbers", async () => {
    await expect(decodeImage({ bytes: floatTiff([0, 0.5, 1.5, 0]) }, { channels: 3 })).rejects.toThrow(
      /samples from 0 to 1.5.*scale it to 0 … 1/,
    );
    await expect(decodeImage({ bytes: floatTiff([0, Number.NaN, 1, 0]) }, { channels: 3 })).rejects.toThrow(/NaN/);
  });

  it.each([
    ["integers of 16 bits with a sign", 2, Uint8Array.of(0x18, 0xfc, 0, 0, 0xe8, 3, 1, 0)],
    ["floats of 16 bits", 3, Uint8Array.of(0, 0, 0, 0x38, 0, 0x3c, 0, 0)],
  ])("refuses %s, which the decoder would clip", async (kind, format, pixels) => {
    const tags: TiffTag[] = [
      [258, 3, 16],
      [262, 3, 1],
      [277, 3, 1],
      [279, 4, 8],
      [339, 3, format],
    ];
    const decoding = decodeImage({ bytes: tiff(2, 2, tags, pixels) }, { channels: 1 });
    await expect(decoding).rejects.toThrow(`its samples are ${kind}`);
  });

  it("refuses an AVIF with a side that AV1 does not have, before memory is taken for it", async () => {
    const { bytes } = await bytesOf(flat(3, { r: 10, g: 200, b: 30 }).avif());
    const stated = Buffer.from(bytes);
    stated.writeUInt32BE(70_000, stated.indexOf("ispe") + 8); // width of the image spatial extents
    const reason = "the header states 70000 × 2 pixels; at most 65536 a side are read";
    await expect(decodeImage({ bytes: stated }, { channels: 3 })).rejects.toThrow(reason);
  });

  it("refuses a PNG of lines that take gigabytes, and an interlaced one that would be held whole, by their headers", async () => {
    const { bytes } = await bytesOf(flat(4, { r: 1, g: 2, b: 3 }).png({ progressive: true }));
    const header = bytes.indexOf(0x49, 8); // IHDR
    const stated = (width: number, height: number): Uint8Array => {
      const png = Buffer.from(bytes);
      png.writeUInt32BE(width, header + 4);
      png.writeUInt32BE(height, header + 8);
      png.writeUInt32BE(crc32(png.subarray(header, header + 17)), header + 17);
      return png;
    };
    await expect(decodeImage({ bytes: stated(2_000_000, 20) }, { channels: 3 })).rejects.toThrow(
      "the header states 2000000 × 20 pixels; at most 65536 a side are read",
    );
    await expect(decodeImage({ bytes: stated(16_300, 16_400) }, { channels: 3 })).rejects.toThrow(
      "its 16300 × 16400 pixels would take",
    );
  });

  it("refuses a pipe at once", async () => {
    const folder = await mkdtemp(join(tmpdir(), "pipe-"));
    execFileSync("mkfifo", [join(folder, "x.png")]);
    await expect(decodeImage({ path: join(folder, "x.png") }, { channels: 3 })).rejects.toThrow(/it is a pipe/);
    await rm(folder, { recursive: true });
  });

  it("reduces the shorter side to resizeTo and keeps the proportions", async () => {
    const large = sharp({ create: { width: 300, height: 200, channels: 3, background: "#808080" } });
    const image = await decodeImage(await bytesOf(large.jpeg()), { channels: 3, resizeTo: 64 });
    expect([image.width, image.height]).toEqual([96, 64]);
  });

  it("never enlarges to resizeTo", async () => {
    const image = await decodeImage(await bytesOf(flat(3, { r: 1, g: 2, b: 3 }).png()), { channels: 3, resizeTo: 64 });
    expect([image.width, image.height]).toEqual([4, 2]);
  });

  it("refuses a JPEG that is cut off", async () => {
    const noise = new Uint8Array(64 * 64 * 3).map((_, at) => (at * 7919) % 251);
    const { bytes } = await bytesOf(sharp(noise, { raw: { width: 64, height: 64, channels: 3 } }).jpeg());
    await expect(decodeImage({ bytes: bytes.subarray(0, bytes.length / 2) }, { channels: 3 })).rejects.toThrow(
      /end of/,
    );
  });

  it("accepts a JPEG with bytes after its end", async () => {
    const { bytes } = await bytesOf(flat(3, { r: 1, g: 2, b: 3 }).jpeg());
    const longer = Uint8Array.of(...bytes, 1, 2, 3, 4);
    await expect(decodeImage({ bytes: longer }, { channels: 3 })).resolves.toMatchObject({ width: 4, height: 2 });
  });

  it.each([
    ["a panorama", 1200, 60],
    ["a strip", 5, 900],
  ])("reduces %s to the area that is accepted, in its shape", async (_, width, height) => {
    const wide = sharp({ create: { width, height, channels: 3, background: { r: 10, g: 200, b: 30 } } });
    const image = await decodeImage(await bytesOf(wide.png()), { channels: 3, resizeTo: 32, maxPixels: 2048 });
    expect(image.width * image.height).toBeLessThanOrEqual(2048);
    expect(image.width * image.height).toBeGreaterThan(1000);
    expect(image.width > image.height).toBe(width > height);
    expect(image.data).toHaveLength(3 * image.width * image.height);
    expect(firstPixel(image)).toEqual([10, 200, 30]);
  });
});

type TiffTag = readonly [tag: number, type: number, value: number];

/** A grey 2 × 2 float TIFF, with SMinSampleValue and SMaxSampleValue if given. */
function floatTiff(samples: readonly number[], range?: readonly [number, number]): Uint8Array {
  const declared: TiffTag[] = range
    ? [
        [340, 11, range[0]],
        [341, 11, range[1]],
      ]
    : [];
  const tags: TiffTag[] = [[258, 3, 32], [262, 3, 1], [277, 3, 1], [279, 4, 16], [339, 3, 3], ...declared];
  return tiff(2, 2, tags, new Uint8Array(Float32Array.from(samples).buffer));
}

/** A CMYK 2 × 2 TIFF without a profile; the bits of its four samples stand at byte 240. */
function cmykTiff(inks: readonly number[]): Uint8Array {
  return tiff(
    2,
    2,
    [
      [258, 3, 8],
      [262, 3, 5],
      [277, 3, 4],
      [279, 4, 16],
    ],
    Uint8Array.from(inks),
  );
}

// TIFF 6.0, one uncompressed strip from byte 256 on.
function tiff(width: number, height: number, own: readonly TiffTag[], pixels: Uint8Array): Uint8Array {
  const all: TiffTag[] = [[256, 4, width], [257, 4, height], [259, 3, 1], [273, 4, 256], [278, 4, height], ...own];
  const tags = all.sort(([a], [b]) => a - b);
  const samples = own.find(([tag]) => tag === 277)?.[2] ?? 1;
  const view = new DataView(new ArrayBuffer(256 + pixels.length));
  view.setUint16(0, 0x4949);
  view.setUint16(2, 42, true);
  view.setUint32(4, 8, true);
  view.setUint16(8, tags.length, true);
  for (const [i, [tag, type, value]] of tags.entries()) {
    const at = 10 + 12 * i;
    const isList = tag === 258 && samples > 2; // four shorts do not fit the field
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, type, true);
    view.setUint32(at + 4, tag === 258 ? samples : 1, true);
    if (isList) {
      view.setUint32(at + 8, 240, true);
      for (let sample = 0; sample < samples; sample++) view.setUint16(240 + 2 * sample, value, true);
    } else if (type === 11) view.setFloat32(at + 8, value, true);
    else if (type === 3) view.setUint16(at + 8, value, true);
    else view.setUint32(at + 8, value, true);
  }
  const bytes = new Uint8Array(view.buffer);
  bytes.set(pixels, 256);
  return bytes;
}
