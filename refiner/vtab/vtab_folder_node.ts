import { createHash } from "node:crypto";
import {
  DataFormatError,
  type EncodedImage,
  type ImageDecoder,
  type ImageSource,
  subset,
  UnreadableDataError,
} from "../data/index.ts";
import { type DecoderOptions, openDecoder } from "../data/index_node.ts";
import { encodedImages } from "../data/sources/encoded_images.ts";
import { parseVtabList, type VtabLine } from "./vtab_lists.ts";
import { listFile, openVtabPlaces, type VtabPlace } from "./vtab_place_node.ts";
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
  /** Of the file; of one in an archive that of the archive, a colon, and the name in it. */
  readonly path: string;
  readonly label: number;
  /** Where its bytes are, in an archive; default: the file `path`. */
  readonly encoded?: EncodedImage;
}

/** Files that are asked for together. */
const together = 64;

/**
 * Reads the lists `train800.txt`, `val200.txt`, `train800val200.txt` and `test.txt` of tasks: `FOLDER/TASK/LIST`, whose lines name files
 * relative to the folder of the task. A task may also be the archive `FOLDER/TASK.zip`, and all of them the published `vtab-1k.zip`.
 *
 * @param names - of {@link vtabTasks}
 * @throws OptionError for a task that is not known; UnreadableDataError for a list that is not there, or one that names a file which is
 *   not; DataFormatError for a line that cannot be read, a label that the training lists do not have room for, and an image with two;
 *   CorruptFileError, TruncatedFileError for an archive that is damaged
 */
export async function readVtabFolder(folder: string, names: readonly string[]): Promise<VtabFolder> {
  for (const name of names) vtabTask(name);
  const places = await openVtabPlaces(folder, names);
  await refuseMissingLists(folder, places);
  const [train, test] = [new UniqueImages(), new UniqueImages()];
  const tasks: VtabFolder["tasks"][number][] = [];
  for (const [name, place] of places) tasks.push({ name, lists: await readTask(place, train, test) });
  return { tasks, train: train.images, test: test.images };
}

/** Images of lists, each once. */
class UniqueImages {
  readonly images: VtabImage[] = [];
  readonly #places = new Map<string, number>();

  /** @throws DataFormatError for an image that another line gives another label */
  add(image: VtabImage, where: string): number {
    const { path, label } = image;
    const known = this.#places.get(path);
    if (known === undefined) {
      this.#places.set(path, this.images.length);
      return this.images.push(image) - 1;
    }
    const before = this.images[known]?.label;
    if (before !== label)
      throw new DataFormatError(
        `vtab: ${where} gives ${path} the label ${label}, an earlier line ${before}; correct one of them`,
      );
    return known;
  }
}

async function refuseMissingLists(folder: string, places: ReadonlyMap<string, VtabPlace>): Promise<void> {
  const wanted = [...places].flatMap(([name, place]) =>
    vtabLists.map((list) => ({ name, place, file: listFile(list) })),
  );
  const missing = (await missingOf(wanted)).map((i) => wanted[i]);
  const [first] = missing;
  if (!first) return;
  const tasks = [...new Set(missing.map((one) => one?.name))];
  const there = [...places.keys()].filter((name) => !tasks.includes(name));
  const remedy = there.length > 0 ? `, or choose the others: --tasks ${there.join(",")}` : "";
  throw new UnreadableDataError(
    `vtab: ${missing.length} lists are missing, of the tasks ${tasks.join(", ")}, such as ${first.place.name(first.file)}; give the published vtab-1k.zip, or unpack it so that each task is a folder in ${folder} (or TASK.zip)${remedy}`,
  );
}

/** Which of the files are not there. */
async function missingOf(files: readonly { readonly place: VtabPlace; readonly file: string }[]): Promise<number[]> {
  const missing: number[] = [];
  for (let first = 0; first < files.length; first += together) {
    const found = await Promise.all(files.slice(first, first + together).map(({ place, file }) => place.has(file)));
    for (const [i, is] of found.entries()) if (!is) missing.push(first + i);
  }
  return missing;
}

async function readTask(
  place: VtabPlace,
  train: UniqueImages,
  test: UniqueImages,
): Promise<Readonly<Record<VtabList, VtabListFile>>> {
  const read = async (list: VtabList): Promise<ReadList> => {
    const file = place.name(listFile(list));
    const bytes = await place.list(list);
    const lines = parseVtabList(new TextDecoder().decode(bytes), file);
    const [missing] = await missingOf(lines.map((line) => ({ place, file: line.path })));
    const line = missing === undefined ? undefined : lines[missing];
    if (line)
      throw new UnreadableDataError(
        `vtab: line ${line.line} of ${file} names ${place.name(line.path)}, which is no file; unpack the images of the task, or correct the list`,
      );
    return { file, lines, sha256: createHash("sha256").update(bytes).digest("hex") };
  };
  const [train800, val200, train800val200, tested] = await Promise.all([
    read("train800"),
    read("val200"),
    read("train800val200"),
    read("test"),
  ]);
  refuseUnknownLabels([train800, val200, train800val200], tested);
  const placed = ({ file, lines, sha256 }: ReadList, images: UniqueImages): VtabListFile => ({
    sha256,
    places: Uint32Array.from(lines, ({ path, label, line }) =>
      images.add({ path: place.name(path), label, encoded: place.encoded(path) }, `line ${line} of ${file}`),
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
  const records = images.map(({ path, label, encoded = { path } }) => ({ name: path, class: String(label), encoded }));
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
