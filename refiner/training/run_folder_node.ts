import { appendFile, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ByteSink, ByteSource } from "../../engine/files/index.ts";
import {
  fileSource,
  refuseSpecialFile,
  withFullPath,
  writeBytesAtomic,
  writeFileAtomic,
} from "../../engine/platform/files_node.ts";
import { RunLock } from "./run_lock_node.ts";
import type { RunStore } from "./run_store.ts";

/** A run folder on disk. While it is held, no other process can hold it, and nothing is written into a folder that took its place. */
export class RunFolder implements RunStore {
  #lock: Promise<RunLock> | undefined;
  #holders = 0;

  constructor(readonly name: string) {}

  /** @throws RunFolderError if another process works in the folder */
  async hold(): Promise<() => Promise<void>> {
    this.#holders++;
    this.#lock ??= RunLock.take(this.name);
    let isHeld = true;
    const release = async (): Promise<void> => {
      if (!isHeld) return;
      isHeld = false;
      if (--this.#holders > 0) return;
      const lock = this.#lock;
      this.#lock = undefined;
      await (await lock)?.release();
    };
    try {
      await this.#lock;
      return release;
    } catch (error) {
      this.#holders--;
      this.#lock = undefined;
      throw error;
    }
  }

  async readText(file: string): Promise<string | undefined> {
    await refuseSpecialFile(join(this.name, file));
    try {
      return await readFile(join(this.name, file), "utf8");
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async writeText(file: string, text: string): Promise<void> {
    await writeBytesAtomic(await this.#path(file), new TextEncoder().encode(text), { overwrite: true });
  }

  async appendLine(file: string, line: string): Promise<void> {
    const path = await this.#path(file);
    await appendFile(path, `${line}\n`).catch((error: unknown) => {
      throw withFullPath(error, path);
    });
  }

  async write(file: string, content: (sink: ByteSink) => Promise<void>): Promise<void> {
    await writeFileAtomic(await this.#path(file), content, { overwrite: true });
  }

  open(file: string): Promise<ByteSource> {
    return fileSource(join(this.name, file));
  }

  async list(folder: string): Promise<string[]> {
    try {
      return (await readdir(join(this.name, folder))).sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  async remove(file: string): Promise<void> {
    await rm(join(this.name, file), { force: true });
  }

  async #path(file: string): Promise<string> {
    await (await this.#lock)?.check(); // before a folder that was deleted is made again
    const path = join(this.name, file);
    await mkdir(dirname(path), { recursive: true });
    return path;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
