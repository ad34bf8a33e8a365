import { constants } from "node:fs";
import { access, type FileHandle, open, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ByteSink } from "../files/byte_sink.ts";
import { type ByteSource, checkRange } from "../files/byte_source.ts";
import { FileExistsError, ForeignFileError, TruncatedFileError, WriteTargetError } from "../files/errors.ts";
import { forgetTemporary, noteTemporary } from "./temporary_files_node.ts";

/**
 * Refuses what only looks like a file: opening a pipe would wait for somebody to write, and a device may never end. What is not
 * there is left to whoever opens it.
 *
 * @throws ForeignFileError for a pipe, a socket or a device
 */
export async function refuseSpecialFile(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found && !found.isFile() && !found.isDirectory())
    throw new ForeignFileError(`${path}: it is a pipe, a socket or a device; give a file`);
}

/** Node ends the process where more than 2^31 - 1 bytes are asked for at once. */
const mostReadBytes = 2 ** 30;

/** Opens a file for reading by ranges (Node and Deno). @throws ForeignFileError for all but a file; otherwise what the system says */
export async function fileSource(path: string): Promise<ByteSource> {
  await refuseSpecialFile(path);
  const file = await open(path, "r");
  const sizeBytes = await file
    .stat()
    .then((found) => {
      if (found.isDirectory()) throw new ForeignFileError(`${path}: it is a folder; give a file`);
      return found.size;
    })
    .catch(async (error: unknown) => {
      await file.close();
      throw error;
    });
  let isOpen = true;
  return {
    name: path,
    sizeBytes,
    async read(offset, length) {
      checkRange(path, sizeBytes, offset, length);
      const bytes = new Uint8Array(length);
      for (let filled = 0; filled < length; ) {
        const { bytesRead } = await file.read(bytes, filled, Math.min(length - filled, mostReadBytes), offset + filled);
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

function isCode(error: unknown, ...codes: readonly string[]): error is Error {
  return error instanceof Error && "code" in error && codes.some((code) => error.code === code);
}

/** Whether an error says that nothing is there, unlike something that cannot be read. */
export function isMissing(error: unknown): boolean {
  return isCode(error, "ENOENT", "ENOTDIR");
}

/** What is read of a path; undefined where nothing is there. @throws what the system says of what cannot be read */
export function ifThere<Content>(reading: Promise<Content>): Promise<Content | undefined> {
  return reading.catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
}

/**
 * Refuses a path that {@link writeFileAtomic} cannot write to, for commands that compute long before they write.
 *
 * @throws FileExistsError if a file stands there and overwriting is not allowed; WriteTargetError for a folder, a device or a pipe,
 *   and where the folder is missing or may not be written to
 */
export async function checkWritePath(path: string, options: { readonly overwrite?: boolean } = {}): Promise<void> {
  const statOf = (name: string) => ifThere(stat(name));
  const there = await statOf(path);
  if (there?.isDirectory()) throw new WriteTargetError(`write: ${path} is a folder; give the name of a file`);
  if (there && !there.isFile())
    throw new WriteTargetError(
      `write: ${path} is a device or a pipe, which would be replaced; give the name of a file`,
    );
  if (there && !options.overwrite)
    throw new FileExistsError(`write: ${path} exists; choose another name, or allow overwriting (--force)`);
  if (!there && !(await statOf(dirname(path)))?.isDirectory())
    throw new WriteTargetError(`write: ${path} cannot be made: there is no folder ${dirname(path)}; create it`);
  const target = await realpath(path).catch(() => path); // no such file yet, or a link that leads nowhere
  await access(dirname(target), constants.W_OK).catch((error: unknown) => {
    throw isCode(error, "EACCES", "EPERM", "EROFS") ? noPermission(path, target) : error;
  });
}

function noPermission(path: string, target: string): WriteTargetError {
  return new WriteTargetError(
    `write: ${path} cannot be made: no permission to write in ${dirname(target)}; choose another folder`,
  );
}

/** The error of writing to a full disk with the path that had no room: what is written through a handle fails without it. */
export function withFullPath(error: unknown, path: string): unknown {
  return isCode(error, "ENOSPC", "EFBIG", "EDQUOT") ? Object.assign(error, { path }) : error;
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
 * name. On failure, or if the process is killed, whatever had the name before is untouched. A symbolic link stays; the file
 * that it leads to is replaced.
 *
 * @param produce - writes the content to the sink that it is given
 * @throws FileExistsError, WriteTargetError as {@link checkWritePath} does, before anything is produced
 */
export async function writeFileAtomic(
  path: string,
  produce: (sink: ByteSink) => Promise<void>,
  options: { readonly overwrite?: boolean } = {},
): Promise<void> {
  await checkWritePath(path, options);
  const target = await realpath(path).catch(() => path); // no such file yet, or a link that leads nowhere
  const temporary = join(dirname(target), `.${basename(target)}.${crypto.randomUUID()}.part`);
  noteTemporary(temporary);
  const file = await open(temporary, "wx").catch((error: unknown) => {
    forgetTemporary(temporary);
    throw isCode(error, "EACCES", "EPERM", "EROFS") ? noPermission(path, target) : error;
  });
  try {
    try {
      await produce(sinkOf(file));
      await file.sync();
    } finally {
      await file.close();
    }
    await checkWritePath(path, options); // a file may have appeared meanwhile
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw withFullPath(error, path);
  } finally {
    forgetTemporary(temporary);
  }
  await syncFolder(target);
}

/** Writes bytes at once, atomically. @throws FileExistsError, WriteTargetError */
export async function writeBytesAtomic(
  path: string,
  bytes: Uint8Array,
  options: { readonly overwrite?: boolean } = {},
): Promise<void> {
  await writeFileAtomic(path, (sink) => sink.write(bytes), options);
}
