import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { DataFormatError, type ImageDecoder, type ImageSource, subset, UnreadableDataError } from "../data/index.ts";
import { type DecoderOptions, openDecoder } from "../data/index_node.ts";
import { encodedImages } from "../data/sources/encoded_images.ts";
import { parseVtabList, type VtabLine } from "./vtab_lists.ts";
import { type VtabList, type VtabTask, vtabLists, vtabTask } from "./vtab_tasks.ts";

/** A list of a task. */
export interface VtabListFile {
  /** Its images, by their places in the training or in the test images of the folder. */
  readonly places: Uint32Array;
  /** SHA-256 of the file. */
  readonly sha256: string;
}

/** What the lists of some tasks name. */
export interface VtabFolder {
  readonly tasks: readonly { readonly name: string; readonly lists: Readonly<Record<VtabList, VtabListFile>> }[];
  /** Every image of a training or validation list once, task by task. */
  readonly train: readonly VtabImage[];
  /** Those of the test lists. */
  readonly test: readonly VtabImage[];
}

/** An image file and its class. */
export interface VtabImage {
  readonly path: string;
  readonly label: number;
}

/** Files that are asked for together. */
const together = 64;

/**
 * Reads the lists `train800.txt`, `val200.txt`, `train800val200.txt` and `test.txt` of tasks: `FOLDER/TASK/LIST`, whose lines name files
 * relative to the folder of the task.
 *
 * @param names - of {@link vtabTasks}
 * @param checkFiles - whether every file that a list names is looked for; default true
 * @throws OptionError for a task that is not known; UnreadableDataError for a list that is not there, or one that names a file which is
 *   not; DataFormatError for a line that cannot be read, a label that the training lists do not have room for, and an image with two
 */
export async function readVtabFolder(
  folder: string,
  names: readonly string[],
  { checkFiles = true }: { readonly checkFiles?: boolean } = {},
): Promise<VtabFolder> {
  for (const name of names) vtabTask(name);
  await refuseMissingLists(folder, names);
  const [train, test] = [new UniqueImages(), new UniqueImages()];
  const tasks: VtabFolder["tasks"][number][] = [];
  for (const name of names) tasks.push({ name, lists: await readTask(join(folder, name), train, test, checkFiles) });
  return { tasks, train: train.images, test: test.images };
}

/** Images of lists, each once. */
class UniqueImages {
  readonly images: VtabImage[] = [];
  readonly #places = new Map<string, number>();

  /** @throws DataFormatError for an image that another line gives another label */
  add({ path, label }: VtabImage, where: string): number {
    const known = this.#places.get(path);
    if (known === undefined) {
      this.#places.set(path, this.images.length);
      return this.images.push({ path, label }) - 1;
    }
    const before = this.images[known]?.label;
    if (before !== label)
      throw new DataFormatError(
        `vtab: ${where} gives ${path} the label ${label}, an earlier line ${before}; correct one of them`,
      );
    return known;
  }
}

async function refuseMissingLists(folder: string, names: readonly string[]): Promise<void> {
  const wanted = names.flatMap((name) => vtabLists.map((list) => ({ name, file: join(folder, name, `${list}.txt`) })));
  const missing = (await missingOf(wanted.map(({ file }) => file))).map((i) => wanted[i]);
  const [first] = missing;
  if (!first) return;
  const tasks = [...new Set(missing.map((one) => one?.name))];
  const there = names.filter((name) => !tasks.includes(name));
  const remedy = there.length > 0 ? `, or choose the others: --tasks ${there.join(",")}` : "";
  throw new UnreadableDataError(
    `vtab: ${missing.length} lists are missing, of the tasks ${tasks.join(", ")}, such as ${first.file}; unpack VTAB-1k so that each task is a folder in ${folder}${remedy}`,
  );
}

/** Places of paths that are no files. */
async function missingOf(paths: readonly string[]): Promise<number[]> {
  const missing: number[] = [];
  for (let first = 0; first < paths.length; first += together) {
    const found = await Promise.all(paths.slice(first, first + together).map(isFile));
    for (const [i, is] of found.entries()) if (!is) missing.push(first + i);
  }
  return missing;
}

function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

async function readTask(
  folder: string,
  train: UniqueImages,
  test: UniqueImages,
  checkFiles: boolean,
): Promise<Readonly<Record<VtabList, VtabListFile>>> {
  const read = async (list: VtabList): Promise<ReadList> => {
    const file = join(folder, `${list}.txt`);
    const bytes = await readFile(file);
    const lines = parseVtabList(bytes.toString("utf8"), file);
    const paths = lines.map(({ path }) => join(folder, path));
    const [missing] = checkFiles ? await missingOf(paths) : [];
    if (missing !== undefined)
      throw new UnreadableDataError(
        `vtab: line ${lines[missing]?.line} of ${file} names ${paths[missing]}, which is no file; unpack the images of the task, or correct the list`,
      );
    return { file, lines, paths, sha256: createHash("sha256").update(bytes).digest("hex") };
  };
  const [train800, val200, train800val200, tested] = await Promise.all([
    read("train800"),
    read("val200"),
    read("train800val200"),
    read("test"),
  ]);
  refuseUnknownLabels([train800, val200, train800val200], tested);
  const placed = ({ file, lines, paths, sha256 }: ReadList, images: UniqueImages): VtabListFile => ({
    sha256,
    places: Uint32Array.from(lines, ({ label, line }, i) =>
      images.add({ path: paths[i] ?? "", label }, `line ${line} of ${file}`),
    ),
  });
  return {
    train800: placed(train800, train),
    val200: placed(val200, train),
    train800val200: placed(train800val200, train),
    test: placed(tested, test),
  };
}

interface ReadList {
  readonly file: string;
  readonly lines: readonly VtabLine[];
  readonly paths: readonly string[];
  readonly sha256: string;
}

function refuseUnknownLabels(training: readonly ReadList[], { file, lines }: ReadList): void {
  const labels = training.flatMap((list) => list.lines.map(({ label }) => label));
  const highest = labels.reduce((most, label) => Math.max(most, label), -1);
  const beyond = lines.find(({ label }) => label > highest);
  if (beyond)
    throw new DataFormatError(
      `vtab: line ${beyond.line} of ${file} has the label ${beyond.label}, but the training lists of the task end at ${highest}; correct the label, or the lists`,
    );
}

/** Opens images of a folder; closing it ends the threads of a decoder that was not given. */
export function openVtabImages(
  folder: string,
  images: readonly VtabImage[],
  options: DecoderOptions & { readonly channels?: 1 | 3; readonly decoder?: ImageDecoder } = {},
): ImageSource {
  const { channels, decoder } = options;
  const shared = decoder && { decode: decoder.decode.bind(decoder), close: async () => {} };
  const records = images.map(({ path, label }) => ({ name: path, class: String(label), encoded: { path } }));
  return encodedImages(folder, records, shared ?? openDecoder(options), channels ? { channels } : {});
}

/** The tasks of a folder, on its opened images. */
export function vtabTasksOf(
  { tasks }: VtabFolder,
  { train, test }: { readonly train: ImageSource; readonly test: ImageSource },
): VtabTask[] {
  return tasks.map(({ name, lists }) => ({
    name,
    train800: subset(train, lists.train800.places),
    val200: subset(train, lists.val200.places),
    train800val200: subset(train, lists.train800val200.places),
    test: subset(test, lists.test.places),
  }));
}
