import type { Stats } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { openZip, readZipEntry, type ZipEntry } from "../../engine/files/zip/zip_reader.ts";
import { fileSource } from "../../engine/platform/files_node.ts";
import { type EncodedImage, UnreadableDataError } from "../data/index.ts";
import type { VtabList } from "./vtab_tasks.ts";

/** Where the files of a task are. */
export interface VtabPlace {
  /** What messages and receipts call a file of the task. */
  name(path: string): string;
  /** Whether there is such a file. */
  has(path: string): Promise<boolean>;
  /** @throws UnreadableDataError where there is none */
  list(list: VtabList): Promise<Uint8Array>;
  encoded(path: string): EncodedImage;
}

/** The file of a list. */
export function listFile(list: VtabList): string {
  return `${list}.txt`;
}

/**
 * Opens the tasks of VTAB-1k as vtab1k-pytorch finds them: a folder with a folder per task, or with an archive `TASK.zip` per task, or
 * the archive `vtab-1k.zip` that is published, in which all tasks stand in one folder.
 *
 * @throws TruncatedFileError, CorruptFileError, ForeignFileError for an archive that cannot be read
 */
export async function openVtabPlaces(path: string, names: readonly string[]): Promise<ReadonlyMap<string, VtabPlace>> {
  const places = new Map<string, VtabPlace>();
  const whole = (await isFile(path)) ? await Archive.open(path) : undefined;
  for (const name of names) {
    const archive = join(path, `${name}.zip`);
    if (whole) places.set(name, whole.task(name));
    else if (!(await isFolder(join(path, name))) && (await isFile(archive)))
      places.set(name, (await Archive.open(archive)).task(name));
    else places.set(name, new TaskFolder(join(path, name)));
  }
  return places;
}

class TaskFolder implements VtabPlace {
  constructor(readonly folder: string) {}

  name(path: string): string {
    return join(this.folder, path);
  }

  has(path: string): Promise<boolean> {
    return isFile(this.name(path));
  }

  list(list: VtabList): Promise<Uint8Array> {
    const path = this.name(listFile(list));
    return readFile(path).catch((error: unknown) => {
      throw isNoSuchFile(error) ? missingList(path) : error;
    });
  }

  encoded(path: string): EncodedImage {
    return { path: this.name(path) };
  }
}

/** A zip archive with tasks in it, each a folder. */
class Archive {
  private constructor(
    readonly path: string,
    readonly entries: ReadonlyMap<string, ZipEntry>,
  ) {}

  static async open(path: string): Promise<Archive> {
    const source = await fileSource(path);
    try {
      return new Archive(path, (await openZip(source)).entries);
    } finally {
      await source.close();
    }
  }

  /** The folder of a task, in whichever folder of the archive it is; of several the outermost. */
  task(name: string): VtabPlace {
    const file = `${name}/${listFile("train800")}`;
    const [found = file] = [...this.entries.keys()]
      .filter((entry) => entry === file || entry.endsWith(`/${file}`))
      .sort((a, b) => a.length - b.length);
    return new TaskInArchive(this, found.slice(0, -listFile("train800").length));
  }
}

class TaskInArchive implements VtabPlace {
  /** @param folder - in the archive, with a slash at its end */
  constructor(
    readonly archive: Archive,
    readonly folder: string,
  ) {}

  name(path: string): string {
    return `${this.archive.path}:${this.#inside(path)}`;
  }

  async has(path: string): Promise<boolean> {
    return this.archive.entries.has(this.#inside(path));
  }

  async list(list: VtabList): Promise<Uint8Array> {
    const entry = this.archive.entries.get(this.#inside(listFile(list)));
    if (!entry) throw missingList(this.name(listFile(list)));
    const source = await fileSource(this.archive.path);
    try {
      return await readZipEntry(source, entry);
    } finally {
      await source.close();
    }
  }

  encoded(path: string): EncodedImage {
    const entry = this.archive.entries.get(this.#inside(path));
    if (!entry) return { path: this.name(path) };
    const { name: _, ...zipped } = entry;
    return { path: this.archive.path, zipped };
  }

  /** Lists may write `./images/x.jpg`. */
  #inside(path: string): string {
    return join(this.folder, path).replaceAll("\\", "/");
  }
}

function missingList(file: string): UnreadableDataError {
  return new UnreadableDataError(`vtab: there is no list ${file}; put it back, or leave the task out (--tasks)`);
}

async function isFile(path: string): Promise<boolean> {
  return (await found(path))?.isFile() ?? false;
}

async function isFolder(path: string): Promise<boolean> {
  return (await found(path))?.isDirectory() ?? false;
}

/** @returns undefined where there is nothing. @throws what the system says where it does not tell, such as a folder that may not be read */
function found(path: string): Promise<Stats | undefined> {
  return stat(path).catch((error: unknown) => {
    if (isNoSuchFile(error)) return undefined;
    throw error;
  });
}

/** Codes for what is not there, or has a name that no file can have. */
const noSuchFile: readonly unknown[] = ["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP", "ERR_INVALID_ARG_VALUE"];

function isNoSuchFile(error: unknown): boolean {
  return error instanceof Error && "code" in error && noSuchFile.includes(error.code);
}
