import { open, readFile, stat } from "node:fs/promises";
import sharp, { type Metadata, type OutputInfo, type Sharp } from "sharp";
import type { DecodeOptions, EncodedImage, RgbImage } from "../image_source.ts";
import { specialKind } from "../sources/file_reader_node.ts";
import { bytesOfSamples, declaredRange } from "./sample_range.ts";
import { zippedBytes } from "./zipped_node.ts";

sharp.cache(false); // each file is decoded once per epoch; a cache would only hold memory
sharp.concurrency(1); // images are decoded side by side; threads within one image would only contend

/** A decoded image with memory of its own, which can be transferred between threads. */
export type DecodedImage = RgbImage & { readonly data: Uint8Array<ArrayBuffer> };

/** Samples of these types are 8-bit levels, or become such by dropping bits. */
const levelTypes: ReadonlySet<string | undefined> = new Set([undefined, "uchar", "ushort"]);

/**
 * Decodes JPEG, PNG, WebP, TIFF, GIF (first frame) or AVIF, by content, to 8-bit samples: upright (EXIF orientation),
 * in sRGB (embedded profiles and 16 bits are converted; grey is repeated over the channels), transparent parts
 * over white, as on paper. CMYK without a profile becomes RGB as in Pillow: each of the three times black. Samples that are floats,
 * have 32 bits or a sign are scaled from 0 … 1 or from the range that the file declares. Damaged pixel data is an error; harmless
 * oddities (bytes after the end) are not.
 *
 * @throws Error with the decoder's or the file system's reason, or for samples of an unknown range
 */
export async function decodeImage(encoded: EncodedImage, options: DecodeOptions): Promise<DecodedImage> {
  const input = "bytes" in encoded ? encoded.bytes : await fileInput(encoded);
  let image = (await upright(input)).flatten({ background: "#ffffff" }).toColourspace("srgb");
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

/**
 * Sides of JPEG and AV1 have 16 bits (ITU-T T.81, B.2.2; AV1 bitstream specification, 5.5.1). PNG and TIFF state up to 2^31, and a kilobyte
 * of file then takes gigabytes: the decoder works on whole lines.
 */
const largestSide = 2 ** 16;
/** Of an image that has to be decoded whole, because every pass over it has pixels of all lines. */
const mostProgressiveBytes = 2 ** 29;
/** Of samples that are scaled, as doubles. */
const mostWideBytes = 2 ** 31;

/** @throws Error for an image that takes far more memory than any picture of its format should */
function checkHeader({ width, height, channels, depth, isProgressive = false }: Metadata): void {
  if (Math.max(width, height) > largestSide)
    throw new Error(`the header states ${width} × ${height} pixels; at most ${largestSide} a side are read`);
  const bytes = width * height * channels * (depth === "uchar" ? 1 : 2);
  if (isProgressive && bytes > mostProgressiveBytes)
    throw new Error(
      `it is interlaced, and its ${width} × ${height} pixels would take ${(bytes / 1e9).toFixed(1)} GB at once; save it without interlacing`,
    );
}

/** The image as levels of sRGB, grey or its own profile. */
async function upright(input: string | Uint8Array): Promise<Sharp> {
  const metadata = await sharp(input).metadata();
  checkHeader(metadata);
  const { depth, space, hasProfile } = metadata;
  if (!levelTypes.has(depth)) return wideSamples(input, metadata);
  if (space === "cmyk" && !hasProfile) {
    const inks = sharp(input, decoding).autoOrient().pipelineColourspace("cmyk").toColourspace("cmyk");
    const { data, info } = await inks.raw().toBuffer(withInfo);
    return rawImage(rgbOfInks(data, info.channels), { ...info, channels: 3 });
  }
  return sharp(input, decoding).autoOrient();
}

/** Levels of samples that are floats, have 32 bits or a sign. */
async function wideSamples(
  input: string | Uint8Array,
  { depth, space, format, width, height, channels }: Metadata,
): Promise<Sharp> {
  // libvips converts what it takes for 16-bit levels, and would clip samples with a sign and floats of 16 bits.
  if (space === "grey16" || space === "rgb16")
    throw new Error(
      `its samples are ${depth === "short" ? "integers of 16 bits with a sign" : "floats of 16 bits"}; save it with 8 or 16 bits without a sign, or with floats of 32 bits`,
    );
  if (8 * width * height * channels > mostWideBytes)
    throw new Error(
      `its ${width} × ${height} pixels have ${depth} samples, too many to scale; save it with 8 or 16 bits`,
    );
  const stored = sharp(input, decoding).autoOrient();
  // libvips takes floats of three channels for light, and would put sRGB's curve on them; those of one channel stay as they are.
  const samplesOfFile = space === "scrgb" ? stored.pipelineColourspace(space).toColourspace(space) : stored;
  const { data, info } = await samplesOfFile.raw({ depth: "double" }).toBuffer(withInfo);
  const samples = new Float64Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.length));
  const file = typeof input === "string" ? await readFile(input) : input;
  const isFloat = depth === "float" || depth === "double";
  return rawImage(bytesOfSamples(samples, isFloat, format === "tiff" ? declaredRange(file) : undefined), info);
}

const decoding = { failOn: "error" } as const;
const withInfo = { resolveWithObject: true } as const;

function rawImage(bytes: Uint8Array, { width, height, channels }: OutputInfo): Sharp {
  return sharp(bytes, { raw: { width, height, channels } });
}

// Pillow's CMYK to RGB: (255 - K) (255 - ink) / 255, rounded in its fixed point; libjpeg has undone Adobe's inversion.
function rgbOfInks(inks: Uint8Array, channels: number): Uint8Array {
  const rgb = new Uint8Array(3 * Math.floor(inks.length / channels));
  for (let pixel = 0; pixel < rgb.length / 3; pixel++) {
    const light = 255 - (inks[channels * pixel + 3] ?? 0);
    for (let channel = 0; channel < 3; channel++) {
      const product = (inks[channels * pixel + channel] ?? 0) * light + 128;
      rgb[3 * pixel + channel] = light - ((product + (product >> 8)) >> 8);
    }
  }
  return rgb;
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

/** Larger files are left to the decoder, which need not hold them whole. */
const mostBytesInMemory = 2 ** 26;

/** Node ends the process where more are asked for. */
const mostBytesAtOnce = 2 ** 31 - 1;

// The bytes are read once, for the look at the header and for the pixels.
async function fileInput(file: Exclude<EncodedImage, { bytes: Uint8Array }>): Promise<string | Uint8Array> {
  const found = await stat(file.path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    const isOddName = file.path.includes("\ufffd"); // what Node puts where bytes of a name are no UTF-8
    throw new Error(isOddName ? "its name is not UTF-8; rename it" : "the file is missing");
  });
  const special = specialKind(found);
  if (special !== undefined) throw new Error(`it is a ${special}`);
  const handle = await open(file.path);
  try {
    if ("zipped" in file) return await zippedBytes(handle, file.zipped);
    const lengthBytes = file.lengthBytes ?? found.size;
    if (file.lengthBytes === undefined && lengthBytes > mostBytesInMemory) return file.path;
    if (lengthBytes > mostBytesAtOnce) throw new Error(`its ${lengthBytes} bytes are more than can be read at once`);
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(lengthBytes), 0, lengthBytes, file.offset ?? 0);
    if (bytesRead < lengthBytes) throw new Error(`the file ends within the image, after ${bytesRead} bytes`);
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
