import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { dirname, resolve, sep } from "node:path";
import { z } from "zod";
import type { ImageSource } from "../../refiner/index.ts";
import { addBlocks, shortDigest, weightsFingerprint } from "../checkpoints/weights_digest.ts";

/** What tells data from other data: digests by what they were made of. */
const digestsSchema = z.record(z.string(), z.string());
export const fingerprintSchema = z.object({
  images: digestsSchema,
  test: digestsSchema.optional(),
  weights: digestsSchema.optional(),
  /** Of what else is read, by what it is called. */
  others: digestsSchema.optional(),
});
export type Fingerprint = z.output<typeof fingerprintSchema>;

const archiveBlocks = 1024; // of all archives of a data set together
const sizedFiles = 10_000; // files whose sizes are asked for; of more, evenly spread ones

/** A data set, and the path that it was opened by. */
export interface PlacedImages {
  readonly path: string;
  readonly source: ImageSource;
}

/** Fingerprint of what a run reads. @param read - `test` and `weights` (a path) are absent in a run without */
export async function fingerprintOf({
  images,
  test,
  weights,
}: {
  readonly images: PlacedImages;
  readonly test?: PlacedImages | undefined;
  readonly weights?: string;
}): Promise<Fingerprint> {
  return {
    images: await imagesFingerprint(images.path, images.source),
    ...(test === undefined ? {} : { test: await imagesFingerprint(test.path, test.source) }),
    ...(weights === undefined ? {} : { weights: await weightsFingerprint(weights) }),
  };
}

/** What of the data differs, in words, such as `the images (names, sizes)`. */
export function differingData(before: Fingerprint, now: Fingerprint): string[] {
  const names = { images: "the images", test: "the test images", weights: "the weights" } as const;
  const main = (["images", "test", "weights"] as const).flatMap((data) => {
    const changed = changedKeys(before[data], now[data]);
    return changed.length === 0 ? [] : [`${names[data]} (${changed.join(", ")})`];
  });
  return [...main, ...changedKeys(before.others, now.others)];
}

function changedKeys(
  old: Readonly<Record<string, string>> | undefined,
  found: Readonly<Record<string, string>> | undefined,
): string[] {
  if (!old || !found) return [];
  return [...new Set([...Object.keys(old), ...Object.keys(found)])].filter((key) => old[key] !== found[key]);
}

/** SHA-256 of a file that is read whole, such as a list. */
export async function fileDigest(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

/** Names count from the folder of the data set on, so that one which was moved is the same. */
async function imagesFingerprint(path: string, source: ImageSource): Promise<Record<string, string>> {
  const root = resolve(path);
  const prefixes = [root, `${dirname(root)}${sep}`];
  const [names, labels] = [createHash("sha256"), createHash("sha256")];
  const archives = new Set<string>();
  for (let index = 0; index < source.length; index++) {
    const name = resolve(source.name(index)); // from `train/`, `./train` and where a resumed run finds it alike
    const prefix = prefixes.find((start) => name.startsWith(start)) ?? "";
    names.update(`${name.slice(prefix.length)}\n`);
    const label = source.label(index);
    labels.update(`${label === undefined ? "" : (source.classNames?.[label] ?? label)}\n`);
    const archive = /^(.*)\[\d+\]$/s.exec(name)?.[1] ?? /^(.*?\.(?:tar|tgz|zip)[^:/\\]*):/s.exec(name)?.[1];
    if (archive !== undefined) archives.add(archive);
  }
  const contents = archives.size === 0 ? await sizesOf(source) : await contentsOf([...archives]);
  return { names: shortDigest(names), labels: shortDigest(labels), ...contents };
}

async function sizesOf(source: ImageSource): Promise<Record<string, string>> {
  const digest = createHash("sha256");
  const step = Math.max(1, Math.ceil(source.length / sizedFiles));
  const asked = Array.from({ length: Math.ceil(source.length / step) }, (_, i) => source.name(i * step));
  for (let at = 0; at < asked.length; at += 64) {
    const sizes = asked.slice(at, at + 64).map((name) => sizeOf(name));
    for (const size of await Promise.all(sizes)) digest.update(`${size}\n`);
  }
  return { sizes: shortDigest(digest) };
}

/** -1 for what is no file by that name. */
function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => -1,
  );
}

async function contentsOf(archives: readonly string[]): Promise<Record<string, string>> {
  const [sizes, contents] = [createHash("sha256"), createHash("sha256")];
  const blocks = Math.max(4, Math.floor(archiveBlocks / archives.length));
  for (const archive of archives) {
    const size = await sizeOf(archive);
    sizes.update(`${size}\n`);
    if (size >= 0) await addBlocks(contents, archive, size, blocks);
  }
  return { sizes: shortDigest(sizes), contents: shortDigest(contents) };
}
