import { randomUUID } from "node:crypto";
import { link, readFile, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { withFullPath } from "../../engine/platform/files_node.ts";
import { makeFolders } from "../../engine/platform/folders_node.ts";
import { forgetTemporary, noteTemporary } from "../../engine/platform/temporary_files_node.ts";
import { mayRun, type ProcessIdentity, processIdentity, thisProcess } from "./process_identity_node.ts";
import { RunFolderError } from "./run_folder_error.ts";

const lockFile = "run.lock";
/** Held for a moment by the one process that may replace the lock of one that has ended. */
const successorFile = "run.lock.next";

/**
 * The right to write into a run folder: a file that names its holder. Node gives no locks of the system, so a lock counts for as
 * long as the process that it names runs, however old it is; one of another host counts until somebody removes it.
 */
export class RunLock {
  private constructor(
    readonly folder: string,
    readonly content: string,
    /** The outermost folder that was made for the lock. */
    readonly madeFolder: string | undefined,
  ) {}

  /** @throws RunFolderError if another process holds the folder, or may hold it */
  static async take(folder: string): Promise<RunLock> {
    const madeFolder = await makeFolders(folder);
    // The token tells this lock from one in a folder that took the place of this one.
    const content = `${JSON.stringify({ ...(await thisProcess()), token: randomUUID() })}\n`;
    const part = join(folder, `.${lockFile}.${randomUUID()}.part`);
    noteTemporary(part);
    try {
      await writeFile(part, content);
      await place(folder, part);
    } catch (error) {
      await removeTemporary(part);
      if (madeFolder !== undefined) await removeEmpty(resolve(folder), resolve(madeFolder));
      throw withFullPath(error, join(folder, lockFile));
    }
    await removeTemporary(part);
    return new RunLock(folder, content, madeFolder);
  }

  /** @throws RunFolderError if the folder is not the one any more that was locked */
  async check(): Promise<void> {
    const now = await textOf(join(this.folder, lockFile));
    if (now === this.content) return;
    const how = now === undefined ? "deleted or moved" : "replaced";
    throw new RunFolderError(
      `${this.folder}: the run folder was ${how} while the run wrote into it; the run ends here, and nothing was written into another folder`,
    );
  }

  /** Gives the folder free, unless it is another's by now; a folder that was made for the lock and holds nothing goes with it. */
  async release(): Promise<void> {
    const path = join(this.folder, lockFile);
    if ((await textOf(path)) === this.content) await rm(path, { force: true });
    if (this.madeFolder !== undefined) await removeEmpty(resolve(this.folder), resolve(this.madeFolder));
  }
}

/** Removes folders from the inner to the outer one, as far as they are empty. */
async function removeEmpty(inner: string, outer: string): Promise<void> {
  for (let folder = inner; folder.startsWith(outer); folder = dirname(folder)) {
    const isRemoved = await rmdir(folder).then(
      () => true,
      () => false, // it holds something, or is gone
    );
    if (!isRemoved) return;
  }
}

/** Makes a file with the content of the lock the lock: there is no moment at which the lock is half written. */
async function place(folder: string, part: string): Promise<void> {
  const path = join(folder, lockFile);
  for (;;) {
    if (await linked(part, path)) return;
    const held = await textOf(path);
    if (held === undefined) continue; // given free meanwhile
    await refuseHolder(folder, lockFile, held);
    if (await succeeded(folder, part, held)) return;
  }
}

/**
 * Replaces the lock of a process that has ended. Of several that try only the one whose file is the successor does; the others
 * see it, or the new lock.
 */
async function succeeded(folder: string, part: string, held: string): Promise<boolean> {
  const successor = join(folder, successorFile);
  if (!(await linked(part, successor))) {
    const other = await textOf(successor);
    if (other === undefined) return false;
    await refuseHolder(folder, successorFile, other);
    await rm(successor, { force: true }); // it was killed in this very moment
    return false;
  }
  noteTemporary(successor);
  const path = join(folder, lockFile);
  const isSame = (await textOf(path)) === held;
  if (isSame) await rename(successor, path);
  else await rm(successor, { force: true });
  forgetTemporary(successor);
  return isSame;
}

async function removeTemporary(path: string): Promise<void> {
  await rm(path, { force: true });
  forgetTemporary(path);
}

/** @returns false if the file is there already */
async function linked(part: string, path: string): Promise<boolean> {
  try {
    await link(part, path);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    if (!withoutLinks.has(codeOf(error) ?? "")) throw error;
  }
  try {
    await writeFile(path, await readFile(part), { flag: "wx" });
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

/** What file systems without hard links say, such as exFAT. */
const withoutLinks: ReadonlySet<string> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EACCES"]);

/** @throws RunFolderError unless the holder has ended */
async function refuseHolder(folder: string, file: string, content: string): Promise<void> {
  const holder = holderOf(content);
  if (holder && !(await mayRun(holder))) return;
  const who = holder ? `process ${holder.process} on ${holder.host}` : "another process (its lock cannot be read)";
  throw new RunFolderError(
    `${folder}: ${who} works in this run folder; wait for it, end it, or choose another folder; if it does not run any more, remove ${join(folder, file)}`,
  );
}

function holderOf(content: string): ProcessIdentity | undefined {
  try {
    return processIdentity.safeParse(JSON.parse(content)).data;
  } catch {
    return undefined;
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
