import { DataFormatError } from "../errors.ts";

/** Whether the bytes begin as a gzip file (RFC 1952). */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * Decompresses a gzip file of one or several members, and no more of it than its content declares; other bytes are returned as they
 * are.
 *
 * @param declaredBytes - from the beginning of the content (at least `headerBytes`, or all of it) to its whole length; undefined
 *   where it declares none, which is refused
 * @throws DataFormatError if the file is cut off, damaged, or holds more than it declares
 */
export async function gunzip(
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
  headerBytes: number,
  declaredBytes: (beginning: Uint8Array) => number | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  if (!isGzip(bytes)) return bytes;
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  const content = new Growing();
  let declared: number | undefined;
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      content.append(next.value);
      if (declared === undefined && content.length >= headerBytes) declared = declaredBytes(content.bytes);
      if (content.length >= headerBytes && (declared === undefined || content.length > declared)) break;
    }
  } catch (cause) {
    throw new DataFormatError(`gunzip: ${name} is cut off or damaged; fetch it again`, { cause });
  } finally {
    await reader.cancel().catch(() => undefined); // a damaged stream has said so above
  }
  if (declared !== undefined && content.length > declared)
    throw new DataFormatError(`gunzip: ${name} holds more than the ${declared} bytes that it declares; fetch it again`);
  return content.bytes;
}

/** Bytes that arrive in pieces. */
class Growing {
  #room = new Uint8Array(2 ** 16);
  length = 0;

  append(piece: Uint8Array): void {
    if (this.length + piece.length > this.#room.length) {
      const larger = new Uint8Array(Math.max(2 * this.#room.length, this.length + piece.length));
      larger.set(this.bytes);
      this.#room = larger;
    }
    this.#room.set(piece, this.length);
    this.length += piece.length;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#room.subarray(0, this.length);
  }
}
