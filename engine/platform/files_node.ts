import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ByteSink } from "../files/byte_sink.ts";
import { type ByteSource, checkRange } from "../files/byte_source.ts";
import { FileExistsError, TruncatedFileError } from "../files/errors.ts";

/** Opens a file for reading by ranges (Node and Deno). */
export async function fileSource(path: string): Promise<ByteSource> {
  const file = await open(path, "r");
  const sizeBytes = await file.stat().then(
    (stat) => stat.size,
    async (error: unknown) => {
      await file.close();
      throw error;
    },
  );
  let isOpen = true;
  return {
    name: path,
    sizeBytes,
    async read(offset, length) {
      checkRange(path, sizeBytes, offset, length);
      const bytes = new Uint8Array(length);
      for (let filled = 0; filled < length; ) {
        const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
        if (bytesRead === 0) throw new TruncatedFileError(`${path}: became shorter while it was read`);
        filled += bytesRead;
      }
      return bytes;
    },
    async close() {
      if (!isOpen) return;
      isOpen = false;
      await file.close();
    },
  };
}

function refuse(path: string): never {
  throw new FileExistsError(`write: ${path} exists; choose another name, or allow overwriting (--force)`);
}

async function exists(path: string): Promise<boolean> {
  return open(path, "r").then(
    (file) => file.close().then(() => true),
    (error: NodeJS.ErrnoException) => error.code !== "ENOENT",
  );
}

/** A new name becomes durable when its folder is synchronised; not every system can do that. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), constants.O_RDONLY).catch(() => undefined);
  await folder?.sync().catch(() => undefined);
  await folder?.close();
}

function sinkOf(file: FileHandle): ByteSink {
  return {
    async write(chunk) {
      for (let written = 0; written < chunk.byteLength; ) {
        const { bytesWritten } = await file.write(chunk, written, chunk.byteLength - written);
        written += bytesWritten;
      }
    },
  };
}

/**
 * Writes a file as a whole or not at all: into a temporary file beside it, which is synchronised and then takes the
 * name. On failure, or if the process is killed, whatever had the name before is untouched.
 *
 * @param produce - writes the content to the sink that it is given
 * @throws FileExistsError if the file exists and overwriting is not allowed; checked before anything is produced
 */
export async function writeFileAtomic(
  path: string,
  produce: (sink: ByteSink) => Promise<void>,
  options: { readonly overwrite?: boolean } = {},
): Promise<void> {
  if (!options.overwrite && (await exists(path))) refuse(path);
  const temporary = join(dirname(path), `.${basename(path)}.${crypto.randomUUID()}.part`);
  const file = await open(temporary, "wx");
  try {
    try {
      await produce(sinkOf(file));
      await file.sync();
    } finally {
      await file.close();
    }
    if (!options.overwrite && (await exists(path))) refuse(path); // it may have appeared meanwhile
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(path);
}

/** Writes bytes at once, atomically. @throws FileExistsError */
export async function writeBytesAtomic(
  path: string,
  bytes: Uint8Array,
  options: { readonly overwrite?: boolean } = {},
): Promise<void> {
  await writeFileAtomic(path, (sink) => sink.write(bytes), options);
}
