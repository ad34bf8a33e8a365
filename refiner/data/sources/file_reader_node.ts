import type { Stats } from "node:fs";
import { type FileHandle, open, readFile, stat } from "node:fs/promises";
import { UnreadableDataError } from "../errors.ts";
import type { RangeReader } from "./range_reader.ts";

/**
 * Opens a file for reading by ranges while `use` runs.
 *
 * @throws UnreadableDataError if it does not exist or cannot be read
 */
export async function withFile<T>(path: string, use: (reader: RangeReader) => Promise<T>): Promise<T> {
  await refuseSpecialFile(path);
  const handle = await readable(path, () => open(path));
  try {
    const { size } = await handle.stat();
    return await use({ name: path, sizeBytes: size, read: (offset, length) => readRange(handle, offset, length) });
  } finally {
    await handle.close();
  }
}

/**
 * Pipes, sockets and devices would be waited for without an end, or read for ever.
 *
 * @throws UnreadableDataError unless the path is a file
 */
async function refuseSpecialFile(path: string): Promise<void> {
  const kind = specialKind(await readable(path, () => stat(path)));
  if (kind !== undefined)
    throw new UnreadableDataError(`images: ${path} is a ${kind}, expected a file; write its content to a file first`);
}

/** All bytes of a file. @throws UnreadableDataError unless the path is a file that can be read */
export async function wholeFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  await refuseSpecialFile(path);
  return new Uint8Array(await readable(path, () => readFile(path)));
}

/** What a path is that is no file; undefined for a file. */
export function specialKind(found: Pick<Stats, "isFile" | "isDirectory" | "isFIFO" | "isSocket">): string | undefined {
  if (found.isFile()) return undefined;
  if (found.isDirectory()) return "folder";
  return found.isFIFO() ? "pipe" : found.isSocket() ? "socket" : "device";
}

/** Runs a file operation on `path`. @throws UnreadableDataError with the system's reason */
export async function readable<T>(path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UnreadableDataError(`images: ${path} cannot be read (${reason}); check the path and its permissions`, {
      cause,
    });
  }
}

async function readRange(handle: FileHandle, offset: number, lengthBytes: number): Promise<Uint8Array> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(lengthBytes), 0, lengthBytes, offset);
  return buffer.subarray(0, bytesRead);
}
