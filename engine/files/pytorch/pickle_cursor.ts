import { CorruptFileError, TruncatedFileError } from "../errors.ts";

// No line or integer of a checkpoint comes near this.
const longestLineBytes = 2 ** 16;
const longestIntegerBytes = 1024;

/** Thrown where a pickle goes on beyond the bytes at hand, while the file has more. */
export class NeedMoreBytes extends Error {}

/** An integer as a number where that is exact, else as a bigint. */
export function exactInteger(value: bigint): number | bigint {
  const asNumber = Number(value);
  return Number.isSafeInteger(asNumber) ? asNumber : value;
}

/**
 * Text of UTF-8 bytes. Python writes halves of surrogate pairs, too, which names of files that are no UTF-8 become in it; each is read
 * as a replacement character.
 *
 * @throws CorruptFileError
 */
export function decodeUtf8(bytes: Uint8Array): string {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    return decoder.decode(withoutSurrogates(bytes));
  } catch (cause) {
    throw new CorruptFileError("unpickle: text is not UTF-8; the file is damaged", { cause });
  }
}

/** With U+FFFD, which takes as many bytes, in the place of every half of a surrogate pair (ED A0 80 … ED BF BF). */
function withoutSurrogates(bytes: Uint8Array): Uint8Array {
  let clean = bytes;
  for (let at = bytes.indexOf(0xed); at >= 0; at = bytes.indexOf(0xed, at + 1)) {
    const [second = 0, third = 0] = [bytes[at + 1], bytes[at + 2]];
    if (second < 0xa0 || second > 0xbf || third < 0x80 || third > 0xbf) continue;
    if (clean === bytes) clean = bytes.slice();
    clean.set([0xef, 0xbf, 0xbd], at);
  }
  return clean;
}

/** Reads the operands of a pickle front to back. */
export class PickleCursor {
  position = 0;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly totalBytes: number;

  /** @param totalBytes - bytes that the file has from the start of `bytes` on, of which `bytes` are at hand */
  constructor(bytes: Uint8Array, totalBytes = bytes.byteLength) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.totalBytes = totalBytes;
  }

  /** Moves over `length` bytes and returns where they began. */
  skip(length: number): number {
    const start = this.position;
    if (start + length > this.bytes.byteLength) {
      if (start + length <= this.totalBytes) throw new NeedMoreBytes();
      throw new TruncatedFileError(
        "unpickle: the pickle goes on beyond the end of the file; it was cut off, fetch it again",
      );
    }
    this.position = start + length;
    return start;
  }

  uint8(): number {
    return this.view.getUint8(this.skip(1));
  }
  uint16(): number {
    return this.view.getUint16(this.skip(2), true);
  }
  uint32(): number {
    return this.view.getUint32(this.skip(4), true);
  }
  int32(): number {
    return this.view.getInt32(this.skip(4), true);
  }
  /** A 64-bit length; one above 2^53 becomes a number that exceeds every file. */
  uint64(): number {
    return Number(this.view.getBigUint64(this.skip(8), true));
  }
  float64(): number {
    return this.view.getFloat64(this.skip(8), false);
  }

  take(length: number): Uint8Array {
    const start = this.skip(length);
    return this.bytes.subarray(start, start + length);
  }
  text(length: number): string {
    return decodeUtf8(this.take(length));
  }

  /** A string of Python 2: text, or bytes, which become Latin-1 text. */
  oldText(length: number): string {
    const bytes = this.take(length);
    try {
      return decodeUtf8(bytes);
    } catch {
      return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    }
  }

  /** A two's complement integer of `length` bytes. */
  long(length: number): number | bigint {
    if (length > longestIntegerBytes) {
      throw new CorruptFileError(`unpickle: integer of ${length} bytes, at most ${longestIntegerBytes} are read`);
    }
    let value = 0n;
    const bytes = this.take(length);
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] ?? 0);
    return exactInteger(BigInt.asIntN(8 * length, value));
  }

  /** Text up to the next line end; protocols 0 and 1 write Latin-1 there. */
  line(): string {
    const end = this.bytes.indexOf(10, this.position);
    const length = (end < 0 ? this.bytes.byteLength : end) - this.position;
    if (length > longestLineBytes) throw new CorruptFileError(`unpickle: line of more than ${longestLineBytes} bytes`);
    if (end < 0) this.skip(length + 1);
    const bytes = this.take(length);
    this.position += 1;
    return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  }
}
