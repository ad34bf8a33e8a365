import { DataFormatError } from "../errors.ts";
import type { StatedClass } from "./class_labels.ts";
import type { ImageRecord } from "./encoded_images.ts";
import { folderClasses, hasImageName } from "./image_names.ts";
import type { RangeReader } from "./range_reader.ts";
import { indexTar, type TarEntry } from "./tar.ts";

/** An image within a shard, and the class that the shard states beside it. */
export interface ShardImage extends TarEntry {
  readonly class: StatedClass;
}

/**
 * Finds the images of one tar shard. In the WebDataset convention an image `KEY.jpg` has its class in `KEY.cls` (text)
 * or `KEY.json` (`label`, `cls` or `class`).
 *
 * @throws DataFormatError if the archive or a class file is damaged
 */
export async function shardImages(reader: RangeReader): Promise<ShardImage[]> {
  const entries = await indexTar(reader);
  const classes = await classFiles(reader, entries);
  const images = entries.filter((entry) => hasImageName(entry.name));
  return images.map((entry) => ({ ...entry, class: classes.get(sampleKey(entry.name)) }));
}

/**
 * The images of all shards of a data set, given the path of each image's shard; where no shard states classes,
 * the folders within the archives are the classes.
 */
export function tarRecords(images: readonly (ShardImage & { readonly path: string })[]): ImageRecord[] {
  const stated = images.some((image) => image.class !== undefined)
    ? images.map((image) => image.class)
    : folderClasses(images.map((image) => image.name));
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
  const stated = Object.entries(parsed).find(([key]) => key === "label" || key === "cls" || key === "class")?.[1];
  return typeof stated === "string" || typeof stated === "number" ? stated : undefined;
}
