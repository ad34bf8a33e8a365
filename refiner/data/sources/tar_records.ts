import { DataFormatError } from "../errors.ts";
import { type StatedClass, statedClass } from "./class_labels.ts";
import type { ImageRecord } from "./encoded_images.ts";
import { folderClasses, hasArchiveName, hasForeignImageName, hasImageName } from "./image_names.ts";
import { endingOf } from "./left_out.ts";
import type { RangeReader } from "./range_reader.ts";
import { indexTar, type LeftOutMember, type TarEntry } from "./tar.ts";

/** An image within a shard, and the class that the shard states beside it. */
export interface ShardImage extends TarEntry {
  readonly class: StatedClass;
}

/** What a shard holds: its images, and what of it is not one. */
export interface Shard {
  readonly images: readonly ShardImage[];
  readonly leftOut: readonly LeftOutMember[];
}

export interface ShardOptions {
  /** Which image of a sample is meant where it has several, such as `jpg` or `image.png`; default: the first plain ending. */
  readonly imageKey?: string;
}

/**
 * Finds the images of one tar shard. In the WebDataset convention an image `KEY.jpg` has its class in `KEY.cls` (text)
 * or `KEY.json` (`label`, `cls` or `class`), and of several images of one key, such as `KEY.jpg` and `KEY.seg.png`, one is the sample.
 *
 * @throws DataFormatError if the archive or a class file is damaged
 */
export async function shardImages(reader: RangeReader, options: ShardOptions = {}): Promise<Shard> {
  const { entries, leftOut } = await indexTar(reader);
  refuseSparse(reader.name, leftOut);
  const classes = await classFiles(reader, entries);
  const pictures = entries.filter((entry) => hasImageName(entry.name));
  const { chosen, others } = oneImagePerSample(pictures, options.imageKey);
  const foreign = entries.filter(({ name }) => hasForeignImageName(name) || hasArchiveName(name));
  return {
    images: chosen.map((entry) => ({ ...entry, class: classes.get(sampleKey(entry.name)) })),
    leftOut: [
      // A link that leads nowhere may have stood for a folder of images.
      ...leftOut.filter(({ name, kind }) => hasImageName(name) || kind.startsWith("symbolic link")),
      ...foreign.map(({ name }) => ({ name, kind: endingOf(name) })),
      ...others.map(({ name }) => ({ name, kind: `further image of a sample (${sampleEnding(name)})` })),
    ],
  };
}

/** Their pixels stand in pieces: the set would be smaller than its owner believes. @throws DataFormatError if there are any */
function refuseSparse(archive: string, leftOut: readonly LeftOutMember[]): void {
  const sparse = leftOut.filter(({ name, kind }) => kind === "sparse file" && hasImageName(name));
  const [first] = sparse;
  if (first === undefined) return;
  throw new DataFormatError(
    `tar: ${archive} stores ${sparse.length} images as sparse files (such as ${first.name}), which are not read; pack them again without --sparse`,
  );
}

/** Of a file beside an image that states its class; some hold boxes and captions, too. */
const mostClassBytes = 2 ** 24;

/** Plain endings in the order in which they are taken where a sample has several. */
const plainEndings = ["jpg", "jpeg", "png", "webp", "tif", "tiff", "gif", "avif", "jpe", "jfif"];

function oneImagePerSample(
  pictures: readonly TarEntry[],
  imageKey?: string,
): { chosen: TarEntry[]; others: TarEntry[] } {
  const samples = new Map<string, TarEntry[]>();
  for (const entry of pictures) {
    const key = sampleKey(entry.name);
    const known = samples.get(key);
    if (known) known.push(entry);
    else samples.set(key, [entry]);
  }
  const chosen: TarEntry[] = [];
  const others: TarEntry[] = [];
  for (const sample of samples.values()) {
    const wanted = sampleImage(sample, imageKey);
    for (const entry of sample) (wanted === undefined || entry === wanted ? chosen : others).push(entry);
  }
  return { chosen, others };
}

/** The image of a sample; undefined where each stands for itself, as files with dots in their names do. */
function sampleImage(sample: readonly TarEntry[], imageKey?: string): TarEntry | undefined {
  if (imageKey !== undefined) {
    const found = sample.find(({ name }) => sampleEnding(name) === imageKey.toLowerCase());
    if (found) return found;
    throw new DataFormatError(
      `tar: the sample ${sampleKey(sample[0]?.name ?? "")} has no image "${imageKey}" but ${sample.map(({ name }) => sampleEnding(name)).join(", ")}; choose one of them (--image-key)`,
    );
  }
  for (const ending of plainEndings) {
    const found = sample.find(({ name }) => sampleEnding(name) === ending);
    if (found) return found;
  }
  return undefined;
}

function sampleEnding(name: string): string {
  return name.slice(sampleKey(name).length + 1).toLowerCase();
}

/**
 * The images of all shards of a data set, given the path of each image's shard; where no shard states classes,
 * the folders within the archives are the classes.
 *
 * @param known - classes of the data set that this one is compared with
 */
export function tarRecords(
  images: readonly (ShardImage & { readonly path: string })[],
  known: ReadonlySet<string>,
): ImageRecord[] {
  const names = images.map((image) => image.name);
  const stated = images.some((image) => image.class !== undefined)
    ? images.map((image) => image.class)
    : folderClasses(names, [], known);
  return images.map(({ path, name, offset, lengthBytes }, index) => ({
    name: `${path}:${name}`,
    class: stated[index],
    encoded: { path, offset, lengthBytes },
  }));
}

// WebDataset: the key of a sample is its path up to the first dot of the file's own name.
function sampleKey(name: string): string {
  const base = name.lastIndexOf("/") + 1;
  const dot = name.indexOf(".", base);
  return dot < 0 ? name : name.slice(0, dot);
}

async function classFiles(reader: RangeReader, entries: readonly TarEntry[]): Promise<Map<string, StatedClass>> {
  const classes = new Map<string, StatedClass>();
  for (const { name, offset, lengthBytes } of entries) {
    if (!name.endsWith(".cls") && !name.endsWith(".json")) continue;
    if (lengthBytes > mostClassBytes)
      throw new DataFormatError(
        `tar: ${reader.name}:${name} has ${lengthBytes} bytes, more than the ${mostClassBytes} of what states a class; take it out of the shard`,
      );
    const content = new TextDecoder().decode(await reader.read(offset, lengthBytes)).trim();
    const stated = name.endsWith(".cls") ? content : jsonClass(content, `${reader.name}:${name}`);
    if (stated !== undefined) classes.set(sampleKey(name), stated);
  }
  return classes;
}

function jsonClass(content: string, name: string): StatedClass {
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch (cause) {
    throw new DataFormatError(`tar: ${name} is not valid JSON; repair the shard`, { cause });
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const stated = statedClass(
    Object.entries(parsed).find(([key]) => key === "label" || key === "cls" || key === "class")?.[1],
  );
  if ("refused" in stated) throw new DataFormatError(`tar: ${name} states as its class ${stated.refused}`);
  return stated.text;
}
