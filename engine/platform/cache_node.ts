import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** The user's cache folder of this package (XDG base directories; `LOCALAPPDATA` on Windows; `~/Library/Caches` on macOS). */
export function cacheDirectory(): string {
  const { MIMREFINE_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (MIMREFINE_CACHE) return MIMREFINE_CACHE;
  if (process.platform === "win32" && LOCALAPPDATA) return join(LOCALAPPDATA, "mimrefine");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches", "mimrefine");
  return join(XDG_CACHE_HOME || join(homedir(), ".cache"), "mimrefine");
}

export async function readCache(name: string): Promise<string | undefined> {
  try {
    return await readFile(join(cacheDirectory(), name), "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Atomic, so that two processes never see half a file. A read-only home keeps nothing. */
export async function writeCache(name: string, text: string): Promise<void> {
  const path = join(cacheDirectory(), name);
  try {
    await mkdir(cacheDirectory(), { recursive: true });
    await writeFile(`${path}.${process.pid}`, text);
    await rename(`${path}.${process.pid}`, path);
  } catch (error) {
    if (!isReadOnly(error)) throw error;
  }
}

function code(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

function isMissing(error: unknown): boolean {
  return code(error) === "ENOENT" || code(error) === "ENOTDIR" || isReadOnly(error);
}

function isReadOnly(error: unknown): boolean {
  return ["EROFS", "EACCES", "EPERM"].includes(String(code(error)));
}
