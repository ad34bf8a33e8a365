import { readFile } from "node:fs/promises";
import { openCheckpoint } from "../../engine/files/index.ts";
import { fileSource, refuseSpecialFile } from "../../engine/platform/files_node.ts";
import { EvaluationError, type FeatureMatrix } from "../../refiner/evaluation/index.ts";
import type { IndexNote } from "./index_note.ts";
import { textOfCell } from "./list_cells.ts";
import { readParquetFeatures } from "./parquet_features.ts";
import { checkTable } from "./table_checksum.ts";

/** Features of images that can be searched, as `embed` writes them. */
export interface FeatureIndex {
  readonly features: FeatureMatrix;
  /** Path and class name of each row. */
  readonly rows: readonly { readonly path: string; readonly className: string }[];
  /** What the features were made with: in the file, or beside a `.npy`; empty where nobody wrote it. */
  readonly note: IndexNote;
}

/** Reads a file of `embed` and the list beside it. @throws EvaluationError */
export async function openFeatureIndex(path: string): Promise<FeatureIndex> {
  const { features, note } = await featuresOf(path);
  const rows = await sourceRows(path);
  if (rows.length !== features.rows)
    throw new EvaluationError(
      `search: ${path} has ${features.rows} rows, ${path}.files.tsv names ${rows.length} images; embed the images again`,
    );
  const bad = features.data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw new EvaluationError(
      `search: the features of ${rows[Math.floor(bad / features.columns)]?.path} in ${path} are not finite (${features.data[bad]}); embed the images again, with weights that have not diverged`,
    );
  return { features, rows, note };
}

async function featuresOf(path: string): Promise<Pick<FeatureIndex, "features" | "note">> {
  const source = await fileSource(path);
  const isParquet = source.sizeBytes >= 4 && String.fromCharCode(...(await source.read(0, 4))) === "PAR1";
  if (isParquet) {
    await checkTable(path, source).finally(() => source.close());
    return readParquetFeatures(path);
  }
  const checkpoint = await openCheckpoint(source);
  try {
    const [[name, info] = []] = [...checkpoint.tensors];
    const [rows = 0, columns = 0] = info?.shape ?? [];
    if (name === undefined || info?.shape.length !== 2 || rows < 1)
      throw new EvaluationError(`search: ${path} holds no matrix of features; give a file that embed wrote`);
    const data = await checkpoint.readAsF32(name);
    const note = checkpoint.format === "npy" ? await noteBeside(`${path}.json`) : checkpoint.metadata;
    return { features: { rows, columns, data }, note };
  } finally {
    await checkpoint.close();
  }
}

/** @throws EvaluationError for a note that is damaged */
async function noteBeside(path: string): Promise<IndexNote> {
  await refuseSpecialFile(path);
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "{}";
    throw error;
  });
  try {
    return new Map(Object.entries(JSON.parse(text)).map(([key, value]) => [key, String(value)]));
  } catch {
    throw new EvaluationError(`search: ${path} is damaged; embed the images again, or delete it`);
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
      const [image = "", , className = ""] = line.split("\t").map(textOfCell);
      return { path: image, className };
    });
}
