import { DataFormatError } from "../errors.ts";

/** Whether the bytes begin as a gzip file (RFC 1952). */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * Decompresses a whole gzip file; other bytes are returned as they are.
 *
 * @throws DataFormatError if the file is cut off or damaged
 */
export async function gunzip(bytes: Uint8Array<ArrayBuffer>, name: string): Promise<Uint8Array<ArrayBuffer>> {
  if (!isGzip(bytes)) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  try {
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch (cause) {
    throw new DataFormatError(`gunzip: ${name} is cut off or damaged; fetch it again`, { cause });
  }
}
