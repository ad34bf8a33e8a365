import { OptionError } from "../../core/errors.ts";
import type { ByteSink } from "../byte_sink.ts";
import { crc32 } from "./crc32.ts";

// PKWARE APPNOTE 6.3.10. Sizes from here on are written in 64 bits.
const limit32 = 0xffffffff;
const limit16 = 0xffff;
const flags = 0x0808; // UTF-8 names; sizes and checksum follow the data, so that it can be written as it comes
// PyTorch places data at multiples of 64 bytes by an extra field with this id, filled with "Z"
// (caffe2/serialize/inline_container.cc), so that files can be mapped into memory.
const paddingId = 0x4246;
const alignmentBytes = 64;

interface Written {
  readonly name: Uint8Array;
  readonly headerOffset: number;
  readonly sizeBytes: number;
  readonly crc: number;
}

class Fields {
  private readonly bytes: number[] = [];
  add(widthBytes: 2 | 4 | 8, ...values: readonly number[]): this {
    for (const value of values) {
      for (let i = 0; i < widthBytes; i++) this.bytes.push(Math.floor(value / 256 ** i) % 256);
    }
    return this;
  }
  append(bytes: Iterable<number>): this {
    this.bytes.push(...bytes);
    return this;
  }
  get length(): number {
    return this.bytes.length;
  }
  done(): Uint8Array {
    return Uint8Array.from(this.bytes);
  }
}

function localHeader(name: Uint8Array, offset: number, zip64: boolean): Uint8Array {
  const sizes = zip64 ? new Fields().add(2, 1, 16).add(8, 0, 0).done() : new Uint8Array(0);
  const used = offset + 30 + name.length + sizes.length + 4;
  const padding = (alignmentBytes - (used % alignmentBytes)) % alignmentBytes;
  const declared = zip64 ? limit32 : 0;
  return new Fields()
    .add(4, 0x04034b50)
    .add(2, zip64 ? 45 : 20, flags, 0, 0, 0)
    .add(4, 0, declared, declared)
    .add(2, name.length, sizes.length + 4 + padding)
    .append(name)
    .append(sizes)
    .add(2, paddingId, padding)
    .append(new Uint8Array(padding).fill(0x5a))
    .done();
}

function centralHeader({ name, headerOffset, sizeBytes, crc }: Written): Uint8Array {
  const large = [
    ...(sizeBytes >= limit32 ? [sizeBytes, sizeBytes] : []),
    ...(headerOffset >= limit32 ? [headerOffset] : []),
  ];
  const extra = new Fields();
  if (large.length > 0) extra.add(2, 1, 8 * large.length).add(8, ...large);
  const size = Math.min(sizeBytes, limit32);
  return new Fields()
    .add(4, 0x02014b50)
    .add(2, 45, large.length > 0 ? 45 : 20, flags, 0, 0, 0)
    .add(4, crc, size, size)
    .add(2, name.length, extra.length, 0, 0, 0)
    .add(4, 0, Math.min(headerOffset, limit32))
    .append(name)
    .append(extra.done())
    .done();
}

function endRecords(count: number, offset: number, sizeBytes: number): Uint8Array {
  const fields = new Fields();
  if (count >= limit16 || offset >= limit32 || sizeBytes >= limit32) {
    fields.add(4, 0x06064b50).add(8, 44).add(2, 45, 45).add(4, 0, 0).add(8, count, count, sizeBytes, offset);
    fields
      .add(4, 0x07064b50, 0)
      .add(8, offset + sizeBytes)
      .add(4, 1);
  }
  const shortCount = Math.min(count, limit16);
  fields.add(4, 0x06054b50).add(2, 0, 0, shortCount, shortCount);
  return fields.add(4, Math.min(sizeBytes, limit32), Math.min(offset, limit32)).add(2, 0).done();
}

/** Writes a zip archive of uncompressed entries, one after the other. */
export class ZipWriter {
  private readonly sink: ByteSink;
  private readonly written: Written[] = [];
  private offset = 0;

  constructor(sink: ByteSink) {
    this.sink = sink;
  }

  /**
   * Adds an entry whose data `produce` writes to the sink that it is given.
   *
   * @param sizeBytes - number of bytes that `produce` will write
   * @throws OptionError if it writes another number
   */
  async add(path: string, sizeBytes: number, produce: (sink: ByteSink) => Promise<void>): Promise<void> {
    const name = new TextEncoder().encode(path);
    const headerOffset = this.offset;
    const zip64 = sizeBytes >= limit32;
    await this.emit(localHeader(name, headerOffset, zip64));
    let crc = 0;
    const start = this.offset;
    await produce({
      write: async (chunk) => {
        crc = crc32(chunk, crc);
        await this.emit(chunk);
      },
    });
    const actual = this.offset - start;
    if (actual !== sizeBytes) {
      throw new OptionError(`ZipWriter.add: ${actual} bytes were written to ${path}, ${sizeBytes} announced`);
    }
    await this.emit(
      new Fields()
        .add(4, 0x08074b50, crc)
        .add(zip64 ? 8 : 4, sizeBytes, sizeBytes)
        .done(),
    );
    this.written.push({ name, headerOffset, sizeBytes, crc });
  }

  /** Writes the directory; nothing can be added after it. */
  async finish(): Promise<void> {
    const start = this.offset;
    for (const entry of this.written) await this.emit(centralHeader(entry));
    await this.emit(endRecords(this.written.length, start, this.offset - start));
  }

  private async emit(chunk: Uint8Array): Promise<void> {
    await this.sink.write(chunk);
    this.offset += chunk.byteLength;
  }
}
