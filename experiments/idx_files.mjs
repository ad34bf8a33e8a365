// Images and labels in IDX files (http://yann.lecun.com/exdb/mnist/), compressed or not.
import { readFile, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { gunzipSync } from "node:zlib";
import { idxImages } from "mimrefine/refiner";

/** First byte of a gzip file; an IDX file starts with 0. */
const gzipStart = 0x1f;

/** The labels of `X-images-idx3-ubyte` stand in `X-labels-idx1-ubyte`. */
export function labelsOf(images) {
  return images.replace("-images-idx3-", "-labels-idx1-");
}

/** The labelled images of a pair of files, named by that of the images. */
export async function openIdx(images) {
  const named = async (path) => ({ name: basename(path), bytes: new Uint8Array(await readFile(path)) });
  return idxImages(await named(images), await named(labelsOf(images)));
}

/** Writes the first entries of an IDX file, compressed or not, to another one, plain. */
export async function firstEntries(from, to, count) {
  const stored = await readFile(from);
  const bytes = stored[0] === gzipStart ? gunzipSync(stored) : stored;
  const dimensions = bytes[3] ?? 0;
  const sizes = Array.from({ length: dimensions }, (_, i) => bytes.readUInt32BE(4 + 4 * i));
  const entry = sizes.slice(1).reduce((product, size) => product * size, 1);
  const cut = Buffer.from(bytes.subarray(0, 4 + 4 * dimensions + count * entry));
  cut.writeUInt32BE(count, 4);
  await writeFile(to, cut);
}

/** {@link firstEntries} of images and of their labels. */
export async function firstLabelled(from, to, count) {
  await firstEntries(from, to, count);
  await firstEntries(labelsOf(from), labelsOf(to), count);
}
