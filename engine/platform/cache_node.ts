import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { forgetTemporary, noteTemporary } from "./temporary_files_node.ts";

/** The user's cache folder of this package (XDG base directories; `LOCALAPPDATA` on Windows; `~/Library/Caches` on macOS). */
export function cacheDirectory(): string {
  const { MIMREFINE_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (MIMREFINE_CACHE) return MIMREFINE_CACHE;
  if (process.platform === "win32" && LOCALAPPDATA) return join(LOCALAPPDATA, "mimrefine");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches", "mimrefine");
  return join(XDG_CACHE_HOME || join(homedir(), ".cache"), "mimrefine");
}

/** Larger files are none that this package wrote. */
const mostBytes = 16 * 2 ** 20;

/** Whatever cannot be read is not there: the cache only saves work. */
export async function readCache(name: string): Promise<string | undefined> {
  try {
    const path = join(cacheDirectory(), name); // throws for a user without a home
    const found = await stat(path); // reading a pipe would wait for ever
    return found.isFile() && found.size <= mostBytes ? await readFile(path, "utf8") : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Atomic, so that two processes never see half a file. Where it cannot be written (no home, a full disk), nothing is left behind.
 *
 * @returns why nothing was kept, if so
 */
export async function writeCache(name: string, text: string): Promise<string | undefined> {
  try {
    const folder = cacheDirectory();
    await makeFolder(folder);
    await writeWhole(join(folder, name), text);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** `mkdir` with `recursive` never ends where the system says of an existing folder that it is missing, as below /proc. */
export async function makeFolder(path: string): Promise<void> {
  const failure = await mkdir(path).then(() => undefined, code);
  if (failure === undefined || failure === "EEXIST") return;
  if (failure === "ENOENT" && dirname(path) !== path) await makeFolder(dirname(path));
  await mkdir(path);
}

function code(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : error;
}

async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.part`;
  noteTemporary(temporary);
  try {
    await writeFile(temporary, text);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    forgetTemporary(temporary);
  }
}
