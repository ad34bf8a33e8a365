import type { Dirent } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { DataFormatError } from "../errors.ts";
import type { ImageRecord } from "./encoded_images.ts";
import { readable, specialKind } from "./file_reader_node.ts";
import { folderClasses, hasForeignImageName, hasImageName, splitsAmong } from "./image_names.ts";
import { endingOf, LeftOut } from "./left_out.ts";

/** The images of a folder, and what a user should know of it. */
export interface FolderContent {
  readonly records: readonly ImageRecord[];
  readonly notices: readonly string[];
}

/**
 * The images of a folder and its folders, sorted by path (by code unit: the same order on every machine).
 * Links are followed; a folder within itself is read once. Hidden files and folders are passed over, other files that are no
 * images are counted.
 *
 * @param known - classes of the data set that this one is compared with
 * @throws UnreadableDataError if a folder cannot be read
 */
export async function folderContent(root: string, known: ReadonlySet<string>): Promise<FolderContent> {
  const found: Found = { images: [], foreign: [], leftOut: new LeftOut(), visits: { places: new Set(), again: 0 } };
  await collect(root, "", [], found);
  const paths = found.images.sort();
  const classes = folderClasses(paths, found.foreign, known);
  const records = paths.map((path, index) => {
    const file = join(root, path);
    return { name: file, class: classes[index], encoded: { path: file } };
  });
  const remedy = "convert pictures to PNG or JPEG, and unpack archives";
  const notices = [found.leftOut.line(root, remedy), splitsNotice(root, classes), depthNotice(root, paths, classes)];
  return { records, notices: notices.filter((line) => line !== undefined) };
}

interface Found {
  readonly images: string[];
  /** Pictures of kinds that are not read. */
  readonly foreign: string[];
  readonly leftOut: LeftOut;
  /** Real places of the folders that were read, and how often links led to one of them again. */
  readonly visits: { readonly places: Set<string>; again: number };
}

/** A few links, each folder with two to the next, could otherwise describe any number of folders. */
const mostRepeatedFolders = 2 ** 14;

/** @param above - the real places of the folders around this one: a link to one of them would lead in circles */
async function collect(root: string, folder: string, above: readonly string[], found: Found): Promise<void> {
  const place = join(root, folder);
  const real = await readable(place, () => realpath(place));
  if (above.includes(real)) return;
  const { visits } = found;
  if (visits.places.has(real)) visits.again++;
  visits.places.add(real);
  if (visits.again > mostRepeatedFolders)
    throw new DataFormatError(
      `images: links below ${root} lead to the same folders more than ${mostRepeatedFolders} times (such as ${folder}); give a folder without them`,
    );
  for (const entry of await readable(place, () => readdir(place, { withFileTypes: true }))) {
    if (entry.name.startsWith(".")) continue;
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    // A link to nothing counts as a file: decoding it then reports its path.
    const kind = entry.isSymbolicLink() ? await stat(join(root, path)).catch(() => undefined) : entry;
    if (kind?.isDirectory()) await collect(root, path, [...above, real], found);
    else addFile(path, kind, found);
  }
}

function addFile(
  path: string,
  kind: Pick<Dirent, "isFIFO" | "isSocket" | "isFile" | "isDirectory"> | undefined,
  found: Found,
): void {
  const special = kind && specialKind(kind);
  if (special !== undefined) found.leftOut.add(special, path);
  else if (hasImageName(path)) found.images.push(path);
  else {
    if (hasForeignImageName(path)) found.foreign.push(path);
    found.leftOut.add(endingOf(path), path);
  }
}

function splitsNotice(root: string, classes: readonly (string | undefined)[]): string | undefined {
  const names = splitsAmong(classes);
  if (names.length === 0) return undefined;
  const verb = names.length === new Set(classes).size ? "are" : "include";
  return `the classes of ${root} ${verb} ${names.join(" and ")}, which look like the parts of a data set; give one of these folders`;
}

/** Classes are the first level of folders; deeper ones may have been meant. */
function depthNotice(
  root: string,
  paths: readonly string[],
  classes: readonly (string | undefined)[],
): string | undefined {
  const deeper = paths.filter((path, index) => {
    const folders = path.split("/").slice(0, -1);
    return classes[index] !== undefined && folders.at(-1) !== classes[index];
  });
  const [first] = deeper;
  if (first === undefined || splitsAmong(classes).length > 0) return undefined;
  return `${deeper.length} images of ${root} lie in folders within class folders (such as ${first}); the class is the outer folder`;
}
