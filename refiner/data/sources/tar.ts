import { DataFormatError } from "../errors.ts";
import type { RangeReader } from "./range_reader.ts";

const blockBytes = 512; // POSIX.1-2017, pax: ustar interchange format
const windowBytes = 32 * 1024; // a read serves the headers of small entries that follow one another
const utf8 = new TextDecoder();

/** A regular file within a tar archive. */
export interface TarEntry {
  readonly name: string;
  readonly offset: number;
  readonly lengthBytes: number;
}

/** Whether the bytes begin as a tar archive; needs the first 512. */
export function isTar(bytes: Uint8Array): boolean {
  return bytes.length >= blockBytes && checksumFits(bytes.subarray(0, blockBytes));
}

/**
 * Lists the regular files of a tar archive by reading its headers only. An archive within the archive is listed in its
 * place, under its name without `.tar` (as in the training archive of ImageNet, one archive per class).
 *
 * @throws DataFormatError if the archive is damaged or cut off
 */
export async function indexTar(reader: RangeReader): Promise<TarEntry[]> {
  return indexRange(new Window(reader), 0, reader.sizeBytes, "");
}

async function indexRange(window: Window, from: number, to: number, folder: string): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  let longName: string | undefined; // of the next entry
  let longSize: number | undefined;
  for (let at = from; at + blockBytes <= to; ) {
    const header = await window.read(at, blockBytes);
    if (header.every((byte) => byte === 0)) break;
    if (!checksumFits(header)) {
      throw new DataFormatError(`tar: ${window.name} is damaged or no tar archive (at byte ${at}); fetch it again`);
    }
    const type = String.fromCharCode(header[156] ?? 0);
    const lengthBytes = (type === "x" || type === "L" ? undefined : longSize) ?? sizeField(header);
    const offset = at + blockBytes;
    if (offset + lengthBytes > to) {
      throw new DataFormatError(
        `tar: ${window.name} is cut off at byte ${to}, within ${nameField(header)}; fetch it again`,
      );
    }
    if (type === "L") {
      longName = text(await window.read(offset, lengthBytes));
    } else if (type === "x") {
      const attributes = paxAttributes(utf8.decode(await window.read(offset, lengthBytes)));
      longName = attributes.get("path") ?? longName;
      longSize = attributes.has("size") ? Number(attributes.get("size")) : undefined;
    } else {
      const name = folder + (longName ?? nameField(header)).replace(/^\.\//, "");
      if (type === "0" || type === "\0") {
        if (name.endsWith(".tar")) {
          entries.push(...(await indexRange(window, offset, offset + lengthBytes, `${name.slice(0, -4)}/`)));
        } else entries.push({ name, offset, lengthBytes });
      }
      longName = undefined;
      longSize = undefined;
    }
    at = offset + Math.ceil(lengthBytes / blockBytes) * blockBytes;
  }
  return entries;
}

class Window {
  readonly name: string;
  readonly #reader: RangeReader;
  #from = 0;
  #bytes = new Uint8Array();

  constructor(reader: RangeReader) {
    this.name = reader.name;
    this.#reader = reader;
  }

  async read(offset: number, lengthBytes: number): Promise<Uint8Array> {
    const held = offset >= this.#from && offset + lengthBytes <= this.#from + this.#bytes.length;
    if (!held) {
      this.#bytes = Uint8Array.from(await this.#reader.read(offset, Math.max(windowBytes, lengthBytes)));
      this.#from = offset;
    }
    return this.#bytes.subarray(offset - this.#from, offset - this.#from + lengthBytes);
  }
}

// The sum of the header's bytes with the checksum field itself read as spaces.
function checksumFits(header: Uint8Array): boolean {
  const stated = Number.parseInt(text(header.subarray(148, 156)), 8);
  let sum = 8 * 32;
  for (let byte = 0; byte < blockBytes; byte++) {
    if (byte < 148 || byte >= 156) sum += header[byte] ?? 0;
  }
  return sum === stated;
}

function text(field: Uint8Array): string {
  const end = field.indexOf(0);
  return utf8.decode(end < 0 ? field : field.subarray(0, end));
}

function nameField(header: Uint8Array): string {
  const name = text(header.subarray(0, 100));
  const prefix =
    text(header.subarray(257, 262)) === "ustar" && header[262] === 0 ? text(header.subarray(345, 500)) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

// Octal digits, or (GNU, files of 8 GiB and more) base 256 after a set first bit.
function sizeField(header: Uint8Array): number {
  const field = header.subarray(124, 136);
  if (((field[0] ?? 0) & 0x80) === 0) return Number.parseInt(text(field).trim() || "0", 8);
  return field.subarray(1).reduce((size, byte) => size * 256 + byte, 0);
}

// Records "LENGTH KEY=VALUE\n"; keys and values that matter here hold no line break.
function paxAttributes(records: string): Map<string, string> {
  const found = records.matchAll(/^\d+ ([^=\n]+)=(.*)$/gm);
  return new Map(Array.from(found, ([, key = "", value = ""]) => [key, value]));
}
