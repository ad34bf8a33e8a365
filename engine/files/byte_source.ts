import { TruncatedFileError } from "./errors.ts";

/** A file, or anything else that can be read by ranges. */
export interface ByteSource {
  /** What messages call it, usually the path. */
  readonly name: string;
  readonly sizeBytes: number;
  /**
   * Reads exactly `length` bytes from `offset`. The result may share memory with the source: do not write to it.
   *
   * @throws TruncatedFileError if the range leaves the source
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Checks a range before anything is allocated for it. @throws TruncatedFileError */
export function checkRange(name: string, sizeBytes: number, offset: number, length: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= sizeBytes)) {
    throw new TruncatedFileError(
      `${name}: ${length} bytes at ${offset} are outside the ${sizeBytes} bytes of the file; it was cut off or changed, fetch it again`,
    );
  }
}

/** Bytes that are in memory already. */
export function memorySource(bytes: Uint8Array, name = "memory"): ByteSource {
  return {
    name,
    sizeBytes: bytes.byteLength,
    async read(offset, length) {
      checkRange(name, bytes.byteLength, offset, length);
      return bytes.subarray(offset, offset + length);
    },
    async close() {},
  };
}

/** A `Blob`, such as the `File` of a browser's file input; only the ranges asked for are loaded. */
export function blobSource(blob: Blob, name = "blob"): ByteSource {
  return {
    name,
    sizeBytes: blob.size,
    async read(offset, length) {
      checkRange(name, blob.size, offset, length);
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    },
    async close() {},
  };
}

/** The part of `source` from `start` on, `sizeBytes` long; closing it leaves `source` open. */
export function sliceSource(source: ByteSource, start: number, sizeBytes: number, name = source.name): ByteSource {
  checkRange(name, source.sizeBytes, start, sizeBytes);
  return {
    name,
    sizeBytes,
    async read(offset, length) {
      checkRange(name, sizeBytes, offset, length);
      return source.read(start + offset, length);
    },
    async close() {},
  };
}
