import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { EvaluationError, type FeatureMatrix } from "../../refiner/evaluation/index.ts";

/** Rows read at a time: the row groups that `embed` writes. */
const rowsPerPiece = 1024;

/**
 * Reads the features and the note of a parquet table that `embed` wrote.
 *
 * @throws EvaluationError for a table without a column `embedding` of lists of one length
 */
export async function readParquetFeatures(
  path: string,
): Promise<{ readonly features: FeatureMatrix; readonly note: ReadonlyMap<string, string> }> {
  const file = await asyncBufferFromFile(path);
  const metadata = await damageNamed(path, () => parquetMetadataAsync(file));
  const rows = Number(metadata.num_rows);
  let data = new Float32Array();
  let columns = 0;
  for (let from = 0; from < rows; from += rowsPerPiece) {
    const range = { rowStart: from, rowEnd: Math.min(rows, from + rowsPerPiece) };
    const read = () => parquetReadObjects({ file, metadata, columns: ["embedding"], ...range });
    const piece = await damageNamed(path, read);
    for (const [i, row] of piece.entries()) {
      const values: unknown = row.embedding;
      if (from + i === 0 && Array.isArray(values)) {
        columns = values.length;
        data = new Float32Array(rows * columns);
      }
      if (!Array.isArray(values) || values.length !== columns || columns === 0)
        throw new EvaluationError(
          `search: row ${from + i} of ${path} has no embedding of ${columns} numbers; give a file that embed wrote`,
        );
      data.set(values, (from + i) * columns);
    }
  }
  const pairs = (metadata.key_value_metadata ?? []).map(({ key, value }) => [key, value ?? ""] as const);
  return { features: { rows, columns, data }, note: new Map(pairs) };
}

/** The reader of parquet knows no names. */
async function damageNamed<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EvaluationError(`search: ${path} cannot be read as parquet (${reason}); embed the images again`);
  }
}
