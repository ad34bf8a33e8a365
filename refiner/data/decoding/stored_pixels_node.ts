import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DataFormatError } from "../errors.ts";
import type { ImageSource } from "../image_source.ts";
import { cifarImages } from "../sources/cifar.ts";
import { readable, wholeFile } from "../sources/file_reader_node.ts";
import { idxImages, idxRank, type NamedBytes, unpackIdx } from "../sources/idx.ts";

export type Split = "train" | "test";

/**
 * IDX images with the labels beside them. Of a folder's files those of `split` are taken (by `train`, `t10k` or `test`
 * in their names), or, where only one pair is there, that one. Labels given without images are an error.
 *
 * @param paths - IDX files, plain or gzip-compressed; a single file of images brings its labels by name
 */
export async function openIdx(paths: readonly string[], split: Split): Promise<ImageSource> {
  const ofPart = paths.filter((path) => splitOf(path) === split);
  const files = await Promise.all((ofPart.length > 0 ? ofPart : paths).map(unpacked));
  const images = files.filter(({ bytes }) => idxRank(bytes) !== 1);
  const [chosen] = images;
  if (chosen === undefined || images.length > 1) {
    throw new DataFormatError(
      `idx: ${paths.join(", ")} holds ${images.length} files of images for "${split}", expected one; give that file itself`,
    );
  }
  const labels = files.find(({ bytes }) => idxRank(bytes) === 1) ?? (await labelsBeside(chosen.name));
  return idxImages(chosen, labels);
}

// As in `train-images-idx3-ubyte.gz` and `train-labels-idx1-ubyte.gz`, either compressed or not.
async function labelsBeside(path: string): Promise<NamedBytes | undefined> {
  const wanted = labelsName(path);
  const found = (await siblings(path)).find((other) => other !== path && labelsName(other) === wanted);
  return found === undefined ? undefined : unpacked(found);
}

function labelsName(path: string): string {
  return basename(path).replace(/\.gz$/, "").replace("images", "labels").replace(/idx\d/, "idx1");
}

async function unpacked(path: string): Promise<NamedBytes> {
  const { name, bytes } = await named(path);
  const content = { name, bytes: await unpackIdx({ name, bytes }) };
  if (idxRank(content.bytes) === undefined) {
    throw new DataFormatError(
      `idx: ${path} holds no IDX array of bytes; if it is a compressed archive, unpack it first`,
    );
  }
  return content;
}

/** CIFAR binary files of one part, in order of their names, with the class names beside them if there are any. */
export async function openCifar(paths: readonly string[], split: Split): Promise<ImageSource> {
  const parts = paths.filter((path) => splitOf(path) === split);
  const chosen = parts.length > 0 || paths.length > 1 ? parts : paths;
  const [first] = chosen;
  if (first === undefined) {
    throw new DataFormatError(
      `cifar: none of ${paths.join(", ")} is named as part of "${split}"; give the file itself`,
    );
  }
  const names = (await siblings(first)).find((path) => /(batches\.meta|fine_label_names)\.txt$/.test(path));
  const classNames = names === undefined ? undefined : new TextDecoder().decode(await wholeFile(names)).trim();
  return cifarImages(await Promise.all(chosen.map(named)), classNames?.split(/\s*\n\s*/));
}

function splitOf(path: string): Split | undefined {
  const name = basename(path);
  if (/t10k|test/.test(name)) return "test";
  return /train|data_batch/.test(name) ? "train" : undefined;
}

async function siblings(path: string): Promise<string[]> {
  const folder = dirname(path);
  return (await readable(folder, () => readdir(folder))).map((name) => join(folder, name));
}

async function named(path: string): Promise<NamedBytes> {
  return { name: path, bytes: await wholeFile(path) };
}
