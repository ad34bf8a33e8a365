import { stat } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { hostTensor, memorySink, writeNpy } from "../../../engine/files/index.ts";
import { checkWritePath, writeBytesAtomic } from "../../../engine/platform/files_node.ts";
import { makeFolders } from "../../../engine/platform/folders_node.ts";
import { encodePng, type RgbImage } from "../../../refiner/data/index.ts";
import { type AttentionMap, enlargedMap, greyLevels, type PictureSize } from "../../../refiner/evaluation/index.ts";

/** Longest name that is made of an image's. */
const longestName = 80;

/** A folder name for each image: its own without folders and ending; those that would be equal get a number. */
export function folderNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    const base = basename(name, extname(name));
    const plain =
      base
        .replace(/[^\p{L}\p{N}._-]+/gu, "_")
        .replace(/^\.+/, "")
        .slice(0, longestName) || "image";
    let chosen = plain;
    for (let i = 2; taken.has(chosen.toLowerCase()); i++) chosen = `${plain}-${i}`;
    taken.add(chosen.toLowerCase()); // some file systems do not tell cases apart
    return chosen;
  });
}

/** Files of one image in its folder. */
export interface MapFiles {
  readonly mean?: string;
  readonly heads: readonly string[];
  readonly weights?: string;
  readonly principal?: string;
}

/** @param heads - of the encoder; 0 where no attention is shown */
export function mapFiles(folder: string, heads: number, hasWeights: boolean, hasPrincipal: boolean): MapFiles {
  const digits = String(Math.max(heads - 1, 0)).length;
  return {
    ...(heads > 0 ? { mean: join(folder, "mean.png") } : {}),
    heads: Array.from({ length: heads }, (_, head) => join(folder, `head-${String(head).padStart(digits, "0")}.png`)),
    ...(heads > 0 && hasWeights ? { weights: join(folder, "weights.npy") } : {}),
    ...(hasPrincipal ? { principal: join(folder, "pca.png") } : {}),
  };
}

export function pathsOf({ mean, heads, weights, principal }: MapFiles): string[] {
  return [mean, ...heads, weights, principal].filter((path) => path !== undefined);
}

/** @throws FileExistsError for the first that is there and may not be replaced */
export async function checkNewFiles(paths: readonly string[], overwrite: boolean): Promise<void> {
  for (const path of paths) {
    const found = await stat(path).catch(() => undefined);
    if (found) await checkWritePath(path, { overwrite });
  }
}

/** Writes one image's attention: 16-bit grey PNGs, and the weights as they are. */
export async function writeAttention(
  map: AttentionMap,
  { mean, heads, weights }: MapFiles,
  size: PictureSize,
  overwrite: boolean,
): Promise<void> {
  const write = async (path: string, values: Float32Array): Promise<void> => {
    const data = greyLevels(values, map, size);
    await writeFile(path, await encodePng(size.width, size.height, { kind: "grey16", data }), overwrite);
  };
  if (mean !== undefined) await write(mean, map.mean);
  for (const [head, path] of heads.entries()) await write(path, headOf(map, head));
  if (weights !== undefined) await writeFile(weights, await npyBytes(map), overwrite);
}

/** The weights of one head. */
export function headOf({ weights, rows, columns }: AttentionMap, head: number): Float32Array {
  return weights.subarray(head * rows * columns, (head + 1) * rows * columns);
}

export async function writePrincipal(
  map: RgbImage,
  path: string,
  size: PictureSize,
  overwrite: boolean,
): Promise<void> {
  const { data } = enlargedMap(map, size);
  await writeFile(path, await encodePng(size.width, size.height, { kind: "rgb", data }), overwrite);
}

async function npyBytes({ weights, heads, rows, columns }: AttentionMap): Promise<Uint8Array> {
  const sink = memorySink();
  await writeNpy(sink, hostTensor("f32", [heads, rows, columns], weights));
  return sink.bytes();
}

async function writeFile(path: string, bytes: Uint8Array, overwrite: boolean): Promise<void> {
  await makeFolders(dirname(path));
  await writeBytesAtomic(path, bytes, { overwrite });
}
