import { appendFile, readdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ByteSink, ByteSource } from "../../engine/files/index.ts";
import {
  fileSource,
  isMissing,
  refuseSpecialFile,
  withFullPath,
  writeBytesAtomic,
  writeFileAtomic,
} from "../../engine/platform/files_node.ts";
import { makeFolders } from "../../engine/platform/folders_node.ts";
import { RunLock } from "./run_lock_node.ts";
import type { RunStore } from "./run_store.ts";

/** A run folder on disk. While it is held, no other process can hold it, and nothing is written into a folder that took its place. */
export class RunFolder implements RunStore {
  #lock: Promise<RunLock> | undefined;
  #holders = 0;

  /** @param parent - a folder that this one is a part of */
  constructor(
    readonly name: string,
    private readonly parent?: RunFolder,
  ) {}

  /** A folder within this one; nothing is written into it, either, once this one was deleted or replaced. */
  part(name: string): RunFolder {
    return new RunFolder(join(this.name, name), this);
  }

  /** @throws RunFolderError if another process works in the folder */
  async hold(): Promise<() => Promise<void>> {
    this.#holders++;
    this.#lock ??= this.#taken();
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

  async #taken(): Promise<RunLock> {
    if (this.parent) await this.parent.#check();
    return RunLock.take(this.name);
  }

  /** @throws RunFolderError if the folder is held, and not the one any more that it was */
  async #check(): Promise<void> {
    if (this.parent) await this.parent.#check();
    await (await this.#lock)?.check();
  }

  async #path(file: string): Promise<string> {
    await this.#check(); // before a folder that was deleted is made again
    const path = join(this.name, file);
    await makeFolders(dirname(path));
    return path;
  }
}
