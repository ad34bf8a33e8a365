import { type ByteSource, memorySource, sliceSource } from "../byte_source.ts";
import { CorruptFileError, ForeignFileError, TruncatedFileError } from "../errors.ts";
import { crc32 } from "./crc32.ts";
import { inflateSource } from "./inflate.ts";

// Layout and constants: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5.
const endSignature = 0x06054b50;
const endBytes = 22;
const zip64LocatorSignature = 0x07064b50;
const zip64EndSignature = 0x06064b50;
const centralSignature = 0x02014b50;
const centralBytes = 46;
const localSignature = 0x04034b50;
const localBytes = 30;
const escape32 = 0xffffffff; // the value is in the zip64 extra field
// A directory of this size lists more than half a million files.
const largestDirectoryBytes = 64 * 2 ** 20;
// DEFLATE stores at most 258 bytes in 2 bits (RFC 1951), so it never expands by more than this factor.
const largestExpansion = 1032;

/** One file of an archive, as its central directory describes it. */
export interface ZipEntry {
  readonly name: string;
  readonly method: "stored" | "deflated";
  readonly storedBytes: number;
  readonly sizeBytes: number;
  readonly headerOffset: number;
  /** Of its bytes, as the directory has it. */
  readonly checksum: number;
}

/** An archive of which only the directory has been read. */
export interface ZipArchive {
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** Opens one file of the archive; deflated ones are inflated as they are read, best front to back. */
  open(entry: ZipEntry): Promise<ByteSource>;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A 64-bit size; those above 2^53 become a number that fails every range check. */
function uint64(view: DataView, offset: number): number {
  return Number(view.getBigUint64(offset, true));
}

interface Directory {
  readonly offset: number;
  readonly sizeBytes: number;
  readonly count: number;
}

async function findDirectory(source: ByteSource): Promise<Directory> {
  const tailBytes = Math.min(source.sizeBytes, endBytes + 0xffff); // the comment has at most 65535 bytes
  const tailStart = source.sizeBytes - tailBytes;
  const tail = viewOf(await source.read(tailStart, tailBytes));
  for (let at = tailBytes - endBytes; at >= 0; at--) {
    if (tail.getUint32(at, true) !== endSignature) continue;
    if (at + endBytes + tail.getUint16(at + 20, true) !== tailBytes) continue;
    const directory = {
      count: tail.getUint16(at + 10, true),
      sizeBytes: tail.getUint32(at + 12, true),
      offset: tail.getUint32(at + 16, true),
    };
    return (await findZip64Directory(source, tailStart + at)) ?? directory;
  }
  throw new TruncatedFileError(
    `${source.name}: the directory at the end of the zip archive is missing; fetch the file again`,
  );
}

async function findZip64Directory(source: ByteSource, end: number): Promise<Directory | undefined> {
  if (end < 20) return undefined;
  const locator = viewOf(await source.read(end - 20, 20));
  if (locator.getUint32(0, true) !== zip64LocatorSignature) return undefined;
  const record = viewOf(await source.read(uint64(locator, 8), 56));
  if (record.getUint32(0, true) !== zip64EndSignature) {
    throw new CorruptFileError(`${source.name}: the zip64 directory record is damaged; fetch the file again`);
  }
  return { count: uint64(record, 32), sizeBytes: uint64(record, 40), offset: uint64(record, 48) };
}

/** Replaces escaped values by those of the zip64 extra field, which holds only the escaped ones in this order. */
function resolveZip64(extra: DataView, values: number[]): number[] {
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const [id, length] = [extra.getUint16(at, true), extra.getUint16(at + 2, true)];
    const end = Math.min(at + 4 + length, extra.byteLength);
    let next = at + 4;
    if (id === 1) {
      return values.map((value) => {
        if (value !== escape32 || next + 8 > end) return value;
        next += 8;
        return uint64(extra, next - 8);
      });
    }
    at += 4 + length;
  }
  return values;
}

function readEntry(source: ByteSource, view: DataView, at: number): { entry: ZipEntry; next: number } {
  if (at + centralBytes > view.byteLength || view.getUint32(at, true) !== centralSignature) {
    throw new CorruptFileError(`${source.name}: the zip directory is damaged; fetch the file again`);
  }
  const nameBytes = view.getUint16(at + 28, true);
  const extraBytes = view.getUint16(at + 30, true);
  const extraStart = at + centralBytes + nameBytes;
  const next = extraStart + extraBytes + view.getUint16(at + 32, true);
  if (next > view.byteLength)
    throw new CorruptFileError(`${source.name}: the zip directory is damaged; fetch the file again`);
  const name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at + centralBytes, nameBytes));
  const what = `${source.name}: zip entry ${JSON.stringify(name)}`;
  if (view.getUint16(at + 8, true) & 1) throw new ForeignFileError(`${what} is encrypted; decrypt it first`);
  const method = view.getUint16(at + 10, true);
  if (method !== 0 && method !== 8) {
    throw new ForeignFileError(`${what} uses compression ${method}, supported are stored (0) and deflated (8)`);
  }
  const extra = new DataView(view.buffer, view.byteOffset + extraStart, extraBytes);
  const fixed = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
  const [sizeBytes = 0, storedBytes = 0, headerOffset = 0] = resolveZip64(extra, fixed);
  if (!(headerOffset + localBytes + storedBytes <= source.sizeBytes)) {
    throw new TruncatedFileError(`${what} lies outside the ${source.sizeBytes} bytes of the file; fetch it again`);
  }
  if (method === 0 ? sizeBytes !== storedBytes : sizeBytes > largestExpansion * (storedBytes + 1)) {
    throw new CorruptFileError(
      `${what} claims ${sizeBytes} bytes but holds ${storedBytes}; the archive is damaged or malicious`,
    );
  }
  const sizes = { storedBytes, sizeBytes, headerOffset, checksum: view.getUint32(at + 16, true) };
  return { entry: { name, method: method === 0 ? "stored" : "deflated", ...sizes }, next };
}

async function openEntry(source: ByteSource, entry: ZipEntry): Promise<ByteSource> {
  const name = `${source.name}: ${entry.name}`;
  const local = viewOf(await source.read(entry.headerOffset, localBytes));
  if (local.getUint32(0, true) !== localSignature) {
    throw new CorruptFileError(`${name}: the zip entry does not start where the directory says; fetch the file again`);
  }
  const start = entry.headerOffset + localBytes + local.getUint16(26, true) + local.getUint16(28, true);
  const stored = sliceSource(source, start, entry.storedBytes, name);
  if (entry.sizeBytes === 0) return memorySource(new Uint8Array(0), name);
  return entry.method === "stored" ? stored : inflateSource(stored, entry.sizeBytes);
}

/** All bytes of one file of an archive, by its entry alone. @throws CorruptFileError, TruncatedFileError */
export async function readZipEntry(source: ByteSource, entry: ZipEntry): Promise<Uint8Array> {
  const opened = await openEntry(source, entry);
  const bytes = await opened.read(0, opened.sizeBytes);
  if (crc32(bytes) === entry.checksum) return bytes;
  throw new CorruptFileError(
    `${source.name}: zip entry ${JSON.stringify(entry.name)} does not have the checksum that the directory states; fetch the file again`,
  );
}

/**
 * Reads the directory of a zip archive (stored and deflated entries, zip64). `open` compares no checksums: PyTorch can write
 * archives without proper ones, and entries are read in parts.
 *
 * @throws TruncatedFileError, CorruptFileError, ForeignFileError
 */
export async function openZip(source: ByteSource): Promise<ZipArchive> {
  const directory = await findDirectory(source);
  if (directory.sizeBytes > largestDirectoryBytes || directory.count * centralBytes > directory.sizeBytes) {
    throw new CorruptFileError(
      `${source.name}: zip directory of ${directory.count} entries in ${directory.sizeBytes} bytes; the archive is damaged`,
    );
  }
  const view = viewOf(await source.read(directory.offset, directory.sizeBytes));
  const entries = new Map<string, ZipEntry>();
  for (let i = 0, at = 0; i < directory.count; i++) {
    const { entry, next } = readEntry(source, view, at);
    if (entries.has(entry.name)) {
      throw new CorruptFileError(`${source.name}: zip entry ${JSON.stringify(entry.name)} appears twice`);
    }
    entries.set(entry.name, entry);
    at = next;
  }
  return { entries, open: (entry) => openEntry(source, entry) };
}
