import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ImageRecord } from "./encoded_images.ts";
import { readable } from "./file_reader_node.ts";
import { folderClasses, hasImageName } from "./image_names.ts";

/**
 * The images of a folder and its folders, sorted by path (by code unit: the same order on every machine).
 * Links are followed, each folder is read once. Hidden files and folders are passed over.
 *
 * @throws UnreadableDataError if a folder cannot be read
 */
export async function folderRecords(root: string): Promise<ImageRecord[]> {
  const paths = await imagePaths(root, "", new Set());
  paths.sort();
  const classes = folderClasses(paths);
  return paths.map((path, index) => {
    const file = join(root, path);
    return { name: file, class: classes[index], encoded: { path: file } };
  });
}

async function imagePaths(root: string, folder: string, seen: Set<string>): Promise<string[]> {
  const place = join(root, folder);
  const real = await readable(place, () => realpath(place));
  if (seen.has(real)) return [];
  seen.add(real);
  const found: string[] = [];
  for (const entry of await readable(place, () => readdir(place, { withFileTypes: true }))) {
    if (entry.name.startsWith(".")) continue;
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    // A link to nothing counts as a file: decoding it then reports its path.
    const linked = entry.isSymbolicLink() ? await stat(join(root, path)).catch(() => undefined) : entry;
    if (linked?.isDirectory()) found.push(...(await imagePaths(root, path, seen)));
    else if (hasImageName(entry.name)) found.push(path);
  }
  return found;
}
