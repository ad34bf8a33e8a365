import { readFile } from "node:fs/promises";
import { openCheckpoint } from "../../engine/files/index.ts";
import { fileSource, refuseSpecialFile } from "../../engine/platform/files_node.ts";
import { EvaluationError, type FeatureMatrix } from "../../refiner/evaluation/index.ts";

/** Features of images that can be searched, as `embed` writes them. */
export interface FeatureIndex {
  readonly features: FeatureMatrix;
  /** Path and class name of each row. */
  readonly rows: readonly { readonly path: string; readonly className: string }[];
  /** What the file says about its making: weights, block, pooling; empty for .npy. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Reads a .npy or .safetensors file of `embed` and the list beside it. @throws EvaluationError */
export async function openFeatureIndex(path: string): Promise<FeatureIndex> {
  if (path.toLowerCase().endsWith(".parquet"))
    throw new EvaluationError(`search: ${path} is a parquet table; write the features as .npy or .safetensors instead`);
  const checkpoint = await openCheckpoint(await fileSource(path));
  try {
    const [[name, info] = []] = [...checkpoint.tensors];
    const [rows = 0, columns = 0] = info?.shape ?? [];
    if (name === undefined || info?.shape.length !== 2 || rows < 1)
      throw new EvaluationError(`search: ${path} holds no matrix of features; give a file that embed wrote`);
    const listed = await sourceRows(path);
    if (listed.length !== rows)
      throw new EvaluationError(
        `search: ${path} has ${rows} rows, ${path}.files.tsv names ${listed.length} images; embed the images again`,
      );
    const data = await checkpoint.readAsF32(name);
    return { features: { rows, columns, data }, rows: listed, metadata: checkpoint.metadata };
  } finally {
    await checkpoint.close();
  }
}

async function sourceRows(path: string): Promise<FeatureIndex["rows"]> {
  await refuseSpecialFile(`${path}.files.tsv`);
  const text = await readFile(`${path}.files.tsv`, "utf8").catch(() => {
    throw new EvaluationError(
      `search: ${path}.files.tsv is missing; keep the list that embed writes beside the features`,
    );
  });
  return text
    .split("\n")
    .slice(1)
    .filter((line) => line !== "")
    .map((line) => {
      const [image = "", , className = ""] = line.split("\t");
      return { path: image, className };
    });
}
