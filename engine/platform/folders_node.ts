import { mkdir, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";

/**
 * Makes a folder and those above it that are missing, one after the other: where a file system lets nobody make any, Node's own
 * recursive form tries for ever.
 *
 * @returns the outermost folder that was made, if any was
 * @throws what the system says: ENOENT where none can be made, EEXIST where the path is a file
 */
export async function makeFolders(folder: string): Promise<string | undefined> {
  const path = resolve(folder);
  const isMade = await made(path).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT" && dirname(path) !== path) return undefined;
    throw error;
  });
  if (isMade !== undefined) return isMade ? path : undefined;
  const outermost = await makeFolders(dirname(path));
  return (await made(path)) ? (outermost ?? path) : outermost;
}

/** @returns whether it was not there before */
async function made(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST" && (await stat(path)).isDirectory()) return false;
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
