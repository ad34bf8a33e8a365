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
  const pieces: Float32Array[] = []; // as they are read: a damaged file may declare any number of rows
  let columns = 0;
  for (let from = 0; from < rows; from += rowsPerPiece) {
    const range = { rowStart: from, rowEnd: Math.min(rows, from + rowsPerPiece) };
    const read = () => parquetReadObjects({ file, metadata, columns: ["embedding"], ...range });
    const piece = await damageNamed(path, read);
    if (piece.length !== range.rowEnd - from)
      throw new EvaluationError(
        `search: ${path} declares ${rows} rows, it holds ${from + piece.length}; embed the images again`,
      );
    const values: (readonly number[])[] = [];
    for (const [i, row] of piece.entries()) {
      const embedding = embeddingOf(row, { path, row: from + i, columns });
      columns = embedding.length;
      values.push(embedding);
    }
    pieces.push(Float32Array.from(values.flat()));
  }
  const data = new Float32Array(rows * columns);
  for (const [i, piece] of pieces.entries()) data.set(piece, i * rowsPerPiece * columns);
  const pairs = (metadata.key_value_metadata ?? []).map(({ key, value }) => [key, value ?? ""] as const);
  return { features: { rows, columns, data }, note: new Map(pairs) };
}

/** @throws EvaluationError for a row without an embedding, or one of another length than the rows before (0: none yet) */
function embeddingOf(
  { embedding }: Record<string, unknown>,
  { path, row, columns }: { readonly path: string; readonly row: number; readonly columns: number },
): readonly number[] {
  if (Array.isArray(embedding) && embedding.length > 0 && embedding.length === (columns || embedding.length))
    return embedding;
  throw new EvaluationError(
    `search: row ${row} of ${path} has no embedding of ${columns} numbers; give a file that embed wrote`,
  );
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
