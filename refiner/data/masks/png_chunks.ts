import { DataFormatError } from "../errors.ts";

/** First bytes of every PNG file. */
export const pngSignature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** CRC-32 of bytes (PNG, ISO/IEC 15948, annex D). */
export function crc32(...parts: readonly Uint8Array[]): number {
  let crc = 0xffffffff;
  for (const part of parts) for (const byte of part) crc = (crcTable[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

/** One part of a PNG file. */
export interface PngChunk {
  readonly type: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

/**
 * The parts of a PNG file up to its end mark.
 *
 * @throws DataFormatError for another format, a file that is cut off, or a wrong checksum
 */
export function* pngChunks(bytes: Uint8Array<ArrayBuffer>, name: string): Generator<PngChunk> {
  if (pngSignature.some((byte, i) => bytes[i] !== byte))
    throw new DataFormatError(`mask: ${name} is no PNG file; save masks as PNG with palette indices or grey values`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = pngSignature.length; ; ) {
    if (at + 12 > bytes.length) throw damaged(name, "it is cut off");
    const length = view.getUint32(at);
    const end = at + 8 + length;
    if (end + 4 > bytes.length) throw damaged(name, "it is cut off");
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (crc32(bytes.subarray(at + 4, end)) !== view.getUint32(end))
      throw damaged(name, `the checksum of its part ${JSON.stringify(type)} is wrong`);
    if (type === "IEND") return;
    yield { type, data: bytes.subarray(at + 8, end) };
    at = end + 4;
  }
}

/** The error for a file that cannot be what it was. */
export function damaged(name: string, what: string): DataFormatError {
  return new DataFormatError(`mask: ${name} is damaged: ${what}; fetch or write it again`);
}
