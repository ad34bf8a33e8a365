import { DataFormatError } from "../errors.ts";
import { damaged, pngChunks } from "./png_chunks.ts";

/** Stored numbers of a PNG file, row-major: palette indices, or grey values as they are. */
export interface IndexImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint16Array;
}

/** More pixels than any photograph, and no more memory than a gigabyte: a header alone must not fill it. */
const mostPixels = 2 ** 28;
const grey = 0;
const palette = 3;
const kinds: ReadonlyMap<number, string> = new Map([
  [2, "colours"],
  [4, "grey values with transparency"],
  [6, "colours with transparency"],
]);

interface Header {
  readonly width: number;
  readonly height: number;
  /** Bits per pixel. */
  readonly depth: number;
}

/**
 * Reads a mask: the indices of a palette, not their colours, or grey values of 1, 2, 4, 8 or 16 bits, not scaled to 8. (The image
 * decoder cannot: it applies the palette.)
 *
 * @param name - of the file, for messages
 * @throws DataFormatError for another format, colours, interlaced files, or a damaged file
 */
export async function readPngIndices(bytes: Uint8Array<ArrayBuffer>, name: string): Promise<IndexImage> {
  let header: Header | undefined;
  const compressed: Uint8Array<ArrayBuffer>[] = [];
  for (const { type, data } of pngChunks(bytes, name)) {
    if (type === "IHDR") header = headerOf(data, name);
    if (type === "IDAT") compressed.push(data);
  }
  if (!header) throw damaged(name, "it has no header");
  const rowBytes = Math.ceil((header.width * header.depth) / 8);
  const filtered = await inflated(compressed, header.height * (rowBytes + 1), name);
  const step = Math.max(1, header.depth / 8);
  const rows = unfiltered(filtered, header.height, rowBytes, step, name);
  return { width: header.width, height: header.height, data: unpacked(rows, header) };
}

function headerOf(data: Uint8Array, name: string): Header {
  if (data.length !== 13) throw damaged(name, "its header has a wrong length");
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth = 0, colourType = 0, compression = 0, filter = 0, interlace = 0] = data.subarray(8);
  if (width < 1 || height < 1 || width * height > mostPixels)
    throw new DataFormatError(`mask: ${name} states ${width} × ${height} pixels; give 1 … ${mostPixels} in all`);
  const found = kinds.get(colourType);
  if (found !== undefined)
    throw new DataFormatError(
      `mask: ${name} holds ${found}, and a mask is a number per pixel; save it with palette indices or grey values`,
    );
  const depths = colourType === grey ? [1, 2, 4, 8, 16] : [1, 2, 4, 8];
  if ((colourType !== grey && colourType !== palette) || !depths.includes(depth) || compression !== 0 || filter !== 0)
    throw damaged(name, `its header states colour type ${colourType} of ${depth} bits`);
  if (interlace !== 0)
    throw new DataFormatError(`mask: ${name} is interlaced, which is not read; save it without interlacing`);
  return { width, height, depth };
}

/** Decompresses (RFC 1950), and no more of it than there may be. */
async function inflated(parts: readonly Uint8Array<ArrayBuffer>[], length: number, name: string): Promise<Uint8Array> {
  const result = new Uint8Array(length);
  let filled = 0;
  const reader = new Blob([...parts]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      if (filled + next.value.length > length) throw damaged(name, "it holds more rows than it states");
      result.set(next.value, filled);
      filled += next.value.length;
    }
  } catch (cause) {
    if (cause instanceof DataFormatError) throw cause;
    throw damaged(name, "its pixels cannot be decompressed");
  } finally {
    await reader.cancel().catch(() => undefined); // a damaged stream has said so above
  }
  if (filled < length) throw damaged(name, "it holds fewer rows than it states");
  return result;
}

/** Rows of bytes, each behind `step` zeros, and the first below a row of zeros: what is left of and above the pixels is 0. */
interface Rows {
  readonly bytes: Uint8Array;
  /** Byte of the first pixel of a row. */
  readonly begin: (y: number) => number;
}

/** Takes the filter of each row back (ISO/IEC 15948, section 9). */
function unfiltered(filtered: Uint8Array, height: number, rowBytes: number, step: number, name: string): Rows {
  const perRow = step + rowBytes;
  const bytes = new Uint8Array((height + 1) * perRow);
  const begin = (y: number): number => (y + 1) * perRow + step;
  for (let y = 0; y < height; y++) {
    let from = y * (rowBytes + 1);
    const predicted = predictors[filtered[from++] ?? -1];
    if (!predicted) throw damaged(name, `row ${y} has an unknown filter`);
    for (let to = begin(y); to < begin(y) + rowBytes; to++) {
      const [left, up, corner] = [bytes[to - step], bytes[to - perRow], bytes[to - perRow - step]];
      bytes[to] = (filtered[from++] ?? 0) + predicted(left ?? 0, up ?? 0, corner ?? 0);
    }
  }
  return { bytes, begin };
}

const predictors: readonly ((left: number, up: number, corner: number) => number)[] = [
  () => 0,
  (left) => left,
  (_, up) => up,
  (left, up) => (left + up) >> 1,
  paeth,
];

function paeth(left: number, up: number, corner: number): number {
  const [toLeft, toUp, toCorner] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

/** Pixels from rows that begin at whole bytes, highest bits first. */
function unpacked({ bytes, begin }: Rows, { width, height, depth }: Header): Uint16Array {
  const data = new Uint16Array(width * height);
  const perByte = 8 / depth;
  for (let y = 0; y < height; y++) {
    const row = begin(y);
    for (let x = 0; x < width; x++) {
      const byte = bytes[row + Math.floor(x / perByte)] ?? 0;
      const low = bytes[row + 2 * x + 1] ?? 0;
      const shift = 8 - depth * ((x % perByte) + 1);
      data[y * width + x] = depth === 16 ? ((bytes[row + 2 * x] ?? 0) << 8) | low : (byte >> shift) & (2 ** depth - 1);
    }
  }
  return data;
}
