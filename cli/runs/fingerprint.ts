import { createHash, type Hash } from "node:crypto";
import { open, stat } from "node:fs/promises";
import { dirname, resolve, sep } from "node:path";
import { z } from "zod";
import type { ImageSource } from "../../refiner/index.ts";

/** What tells data from other data: digests by what they were made of. */
const digestsSchema = z.record(z.string(), z.string());
export const fingerprintSchema = z.object({ images: digestsSchema, weights: digestsSchema.optional() });
export type Fingerprint = z.output<typeof fingerprintSchema>;

const blockBytes = 65_536;
const weightBlocks = 64;
const archiveBlocks = 1024; // of all archives of a data set together
const sizedFiles = 10_000; // files whose sizes are asked for; of more, evenly spread ones

/** Fingerprint of what a run reads. @param weights - path; absent for a run that starts without */
export async function fingerprintOf(
  images: { readonly path: string; readonly source: ImageSource },
  weights?: string,
): Promise<Fingerprint> {
  return {
    images: await imagesFingerprint(images.path, images.source),
    ...(weights === undefined ? {} : { weights: await weightsFingerprint(weights) }),
  };
}

/** What of the data differs, in words, such as `the images (names, sizes)`. */
export function differingData(before: Fingerprint, now: Fingerprint): string[] {
  return (["images", "weights"] as const).flatMap((data) => {
    const [old, found] = [before[data], now[data]];
    if (!old || !found) return [];
    const changed = [...new Set([...Object.keys(old), ...Object.keys(found)])].filter((key) => old[key] !== found[key]);
    return changed.length === 0 ? [] : [`the ${data} (${changed.join(", ")})`];
  });
}

/** Names count from the folder of the data set on, so that one which was moved is the same. */
async function imagesFingerprint(path: string, source: ImageSource): Promise<Record<string, string>> {
  const root = resolve(path);
  const prefixes = [path, root, `${dirname(root)}${sep}`];
  const [names, labels] = [createHash("sha256"), createHash("sha256")];
  const archives = new Set<string>();
  for (let index = 0; index < source.length; index++) {
    const name = source.name(index);
    const prefix = prefixes.find((start) => name.startsWith(start)) ?? "";
    names.update(`${name.slice(prefix.length)}\n`);
    const label = source.label(index);
    labels.update(`${label === undefined ? "" : (source.classNames?.[label] ?? label)}\n`);
    const archive = /^(.*)\[\d+\]$/s.exec(name)?.[1] ?? /^(.*?\.(?:tar|tgz)[^:/\\]*):/s.exec(name)?.[1];
    if (archive !== undefined) archives.add(archive);
  }
  const contents = archives.size === 0 ? await sizesOf(source) : await contentsOf([...archives]);
  return { names: shown(names), labels: shown(labels), ...contents };
}

async function sizesOf(source: ImageSource): Promise<Record<string, string>> {
  const digest = createHash("sha256");
  const step = Math.max(1, Math.ceil(source.length / sizedFiles));
  const asked = Array.from({ length: Math.ceil(source.length / step) }, (_, i) => source.name(i * step));
  for (let at = 0; at < asked.length; at += 64) {
    const sizes = asked.slice(at, at + 64).map((name) => sizeOf(name));
    for (const size of await Promise.all(sizes)) digest.update(`${size}\n`);
  }
  return { sizes: shown(digest) };
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
  return { sizes: shown(sizes), contents: shown(contents) };
}

async function weightsFingerprint(path: string): Promise<Record<string, string>> {
  const size = await sizeOf(path);
  const [header, contents] = [createHash("sha256"), createHash("sha256")];
  await addBlocks(header, path, Math.min(size, 16 * blockBytes), 16);
  await addBlocks(contents, path, size, weightBlocks);
  return { size: String(size), header: shown(header), contents: shown(contents) };
}

/** Adds evenly spread blocks of a file, the first and the last among them; all of it if it is short. */
async function addBlocks(digest: Hash, path: string, size: number, blocks: number): Promise<void> {
  const count = Math.min(blocks, Math.ceil(size / blockBytes));
  const file = await open(path, "r");
  try {
    const buffer = new Uint8Array(blockBytes);
    for (let block = 0; block < count; block++) {
      const start = count === 1 ? 0 : Math.round((block * Math.max(0, size - blockBytes)) / (count - 1));
      const { bytesRead } = await file.read(buffer, 0, Math.min(blockBytes, size - start), start);
      digest.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/** As many digits as nobody reaches by chance. */
function shown(digest: Hash): string {
  return digest.digest("hex").slice(0, 32);
}
