import { constants } from "node:fs";
import { access, open, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { WriteTargetError } from "../../engine/files/index.ts";
import { OptionError } from "../../engine/index.ts";
import { checkWritePath } from "../../engine/platform/files_node.ts";
import { UsageError } from "./usage_error.ts";

/** Paths by the option or argument that names them; undefined where none was given. */
type NamedPaths = Readonly<Record<string, string | undefined>>;

/** What a command reads and writes. */
export interface TouchedPaths {
  /** Files and folders that must be there. */
  readonly reads?: NamedPaths;
  /** Files that are written, in folders that must be there. */
  readonly writes?: NamedPaths;
  /** Whether files that exist may be replaced. */
  readonly overwrite?: boolean;
  /** A folder that is made where it is missing, with the files in it that the command writes or removes. */
  readonly folder?: { readonly path: string; readonly files: readonly string[] };
}

/**
 * Checks everything that a command touches before it computes anything.
 *
 * @throws UsageError where a path is written that is also read or written otherwise, or a file stands where a folder is to be;
 *   OptionError for something to read that is missing; FileExistsError and WriteTargetError as `checkWritePath` does
 */
export async function checkTouchedPaths(command: string, touched: TouchedPaths): Promise<void> {
  const reads = given(touched.reads);
  const writes = given(touched.writes);
  for (const [, path] of reads) await checkReadPath(command, path);
  const { folder } = touched;
  const inFolder = (folder?.files ?? []).map((file): [string, string] => ["--out", `${folder?.path}/${file}`]);
  await checkApart(command, reads, [...writes, ...inFolder]);
  for (const [, path] of writes) await checkWritePath(path, { overwrite: touched.overwrite === true });
  if (folder) await checkFolderPath(folder.path);
}

function given(paths: NamedPaths = {}): [name: string, path: string][] {
  return Object.entries(paths).flatMap(([name, path]) => (path === undefined ? [] : [[name, path]]));
}

/** By opening it: asking for the permission alone would be answered for the user who started the process, not the one it runs as. */
async function checkReadPath(command: string, path: string): Promise<void> {
  const code = await openable(path).then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error.code,
  );
  if (code === undefined) return;
  const isMissing = code === "ENOENT" || code === "ENOTDIR";
  const reason = isMissing ? "there is no such file or folder" : `no permission (${code})`;
  const remedy =
    isMissing && /[*?,{]/.test(path)
      ? "patterns and several paths are not taken: give one file or folder, or a list of images (path,label)"
      : "check the path and its permissions";
  throw new OptionError(`${command}: ${path} cannot be read (${reason}); ${remedy}`);
}

/** Opening a pipe would wait for its writer; whoever reads the path refuses it. */
async function openable(path: string): Promise<void> {
  const found = await stat(path);
  if (found.isFile() || found.isDirectory()) await (await open(path, "r")).close();
}

/** Nothing may be written twice, or over what is read. */
async function checkApart(
  command: string,
  reads: readonly (readonly [name: string, path: string])[],
  writes: readonly (readonly [name: string, path: string])[],
): Promise<void> {
  const taken = new Map<string, string>();
  for (const [name, path] of reads) taken.set(await identity(path), name);
  for (const [name, path] of writes) {
    const key = await identity(path);
    const other = taken.get(key);
    if (other !== undefined)
      throw new UsageError(
        `${command}: ${path} would be written for ${name}, and is ${other} already; choose another ${name}`,
      );
    taken.set(key, name);
  }
}

/** The same for all names of a file that exists: links and `./` lead to one. */
async function identity(path: string): Promise<string> {
  return stat(path).then(
    ({ dev, ino }) => `${dev} ${ino}`,
    () => resolve(path),
  );
}

/** @throws UsageError for a file on the way; WriteTargetError where the folder cannot be made, or not be written to */
async function checkFolderPath(path: string): Promise<void> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => error);
  const isFile = found instanceof Error ? found.code === "ENOTDIR" : !found.isDirectory();
  if (isFile) throw new UsageError(`${path}: a file stands there or on the way; give a folder (--out)`);
  const parent = dirname(resolve(path));
  if (found instanceof Error && found.code === "ENOENT" && parent !== resolve(path)) return checkFolderPath(parent);
  await access(path, constants.W_OK).catch(() => {
    throw new WriteTargetError(`write: no permission to write in ${path}; choose another folder (--out)`);
  });
}
