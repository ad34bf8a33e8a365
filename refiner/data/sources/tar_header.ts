import { DataFormatError } from "../errors.ts";

/** Headers and contents are padded to blocks of this size (POSIX.1-2017, pax: ustar interchange format). */
export const tarBlockBytes = 512;
const utf8 = new TextDecoder();

/** One header block of a tar archive, as it stands there. */
export interface TarHeader {
  readonly name: string;
  /** Type flag, such as "0" for a regular file; "0" for the NUL of old archives. */
  readonly type: string;
  readonly sizeBytes: number;
  /** What a link points at. */
  readonly linkName: string;
}

/** Whether a block holds the checksum of its other bytes, which old writers added up with a sign. */
export function checksumFits(block: Uint8Array): boolean {
  const stated = Number.parseInt(fieldText(block.subarray(148, 156)), 8);
  let [sum, signedSum] = [8 * 32, 8 * 32]; // the checksum field itself, read as spaces
  for (let place = 0; place < tarBlockBytes; place++) {
    if (place >= 148 && place < 156) continue;
    const byte = block[place] ?? 0;
    sum += byte;
    signedSum += byte < 128 ? byte : byte - 256;
  }
  return stated === sum || stated === signedSum;
}

/**
 * @param where - archive and place, for messages
 * @throws DataFormatError for a checksum that does not fit, or a size that is no number from 0 on
 */
export function parseTarHeader(block: Uint8Array, where: string): TarHeader {
  if (!checksumFits(block)) throw new DataFormatError(`tar: ${where} is damaged or no tar archive; fetch it again`);
  const isPosix = fieldText(block.subarray(257, 262)) === "ustar" && block[262] === 0;
  const prefix = isPosix ? fieldText(block.subarray(345, 500)) : "";
  const name = fieldText(block.subarray(0, 100));
  const flag = block[156] ?? 0;
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    type: flag === 0 ? "0" : String.fromCharCode(flag),
    sizeBytes: sizeField(block.subarray(124, 136), where),
    linkName: fieldText(block.subarray(157, 257)),
  };
}

/**
 * Attributes of a pax header: records "LENGTH KEY=VALUE\n", each cut by its stated length, since values may hold line breaks.
 *
 * @throws DataFormatError for a record whose length does not fit
 */
export function paxAttributes(bytes: Uint8Array, where: string): Map<string, string> {
  const attributes = new Map<string, string>();
  for (let at = 0; at < bytes.length && bytes[at] !== 0; ) {
    const space = bytes.indexOf(32, at);
    const digits = space < 0 ? "" : utf8.decode(bytes.subarray(at, space));
    const end = at + Number(digits);
    if (!/^\d{1,10}$/.test(digits) || end > bytes.length || end <= space + 1 || bytes[end - 1] !== 10)
      throw new DataFormatError(`tar: ${where} holds an attribute of no fitting length; fetch it again`);
    const record = utf8.decode(bytes.subarray(space + 1, end - 1));
    const equals = record.indexOf("=");
    if (equals < 1) throw new DataFormatError(`tar: ${where} holds an attribute without a name; fetch it again`);
    attributes.set(record.slice(0, equals), record.slice(equals + 1));
    at = end;
  }
  return attributes;
}

/** A size as pax states it. @throws DataFormatError unless it is a whole number from 0 on */
export function paxSize(text: string | undefined, where: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text))
    throw new DataFormatError(`tar: ${where} states the size "${text.slice(0, 40)}", expected bytes; fetch it again`);
  return Number(text);
}

/** Text up to the first NUL. */
export function fieldText(field: Uint8Array): string {
  const end = field.indexOf(0);
  return utf8.decode(end < 0 ? field : field.subarray(0, end));
}

// Octal digits, or (GNU, files of 8 GiB and more) base 256 after a set first bit; the second bit is the sign.
function sizeField(field: Uint8Array, where: string): number {
  const first = field[0] ?? 0;
  if ((first & 0x80) === 0) {
    const digits = fieldText(field).trim();
    if (/^[0-7]*$/.test(digits)) return Number.parseInt(digits || "0", 8);
    throw new DataFormatError(`tar: ${where} states the size "${digits}", expected octal digits; fetch it again`);
  }
  const size = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, first & 0x3f);
  if ((first & 0x40) !== 0 || !Number.isSafeInteger(size))
    throw new DataFormatError(`tar: ${where} states a size that no file has; fetch it again`);
  return size;
}
