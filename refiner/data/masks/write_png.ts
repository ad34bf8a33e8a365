import { crc32, pngSignature } from "./png_chunks.ts";

/** What a PNG file is made from: 8-bit palette indices with their colours, 16-bit grey values, or 8-bit RGB. */
export type PngPixels =
  | { readonly kind: "palette"; readonly data: ArrayLike<number>; readonly colours: Uint8Array }
  | { readonly kind: "grey16"; readonly data: ArrayLike<number> }
  | { readonly kind: "rgb"; readonly data: Uint8Array };

const formats = {
  palette: { depth: 8, colourType: 3, bytes: 1 },
  grey16: { depth: 16, colourType: 0, bytes: 2 },
  rgb: { depth: 8, colourType: 2, bytes: 3 },
} as const;

/** A PNG file (ISO/IEC 15948), without row filters. */
export async function encodePng(width: number, height: number, pixels: PngPixels): Promise<Uint8Array<ArrayBuffer>> {
  const { depth, colourType, bytes } = formats[pixels.kind];
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([depth, colourType], 8);
  const rowBytes = width * bytes;
  const rows = new Uint8Array(height * (rowBytes + 1));
  const samples = samplesOf(pixels);
  for (let y = 0; y < height; y++) rows.set(samples.subarray(y * rowBytes, (y + 1) * rowBytes), y * (rowBytes + 1) + 1);
  const stream = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const compressed = new Uint8Array(await new Response(stream).arrayBuffer());
  const colours = pixels.kind === "palette" ? [chunk("PLTE", pixels.colours)] : [];
  const parts = [chunk("IHDR", header), ...colours, chunk("IDAT", compressed), chunk("IEND", new Uint8Array())];
  return joined([pngSignature, ...parts]);
}

function samplesOf(pixels: PngPixels): Uint8Array {
  if (pixels.kind === "rgb") return pixels.data;
  if (pixels.kind === "palette") return Uint8Array.from(pixels.data);
  const samples = new Uint8Array(2 * pixels.data.length);
  const view = new DataView(samples.buffer);
  for (let i = 0; i < pixels.data.length; i++) view.setUint16(2 * i, pixels.data[i] ?? 0);
  return samples;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(type);
  const numbers = new DataView(new ArrayBuffer(8));
  numbers.setUint32(0, data.length);
  numbers.setUint32(4, crc32(name, data));
  const [length, crc] = [new Uint8Array(numbers.buffer, 0, 4), new Uint8Array(numbers.buffer, 4, 4)];
  return joined([length, name, data, crc]);
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
