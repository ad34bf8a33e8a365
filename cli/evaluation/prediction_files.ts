import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import type { ByteSink } from "../../engine/files/index.ts";
import { writeFileAtomic } from "../../engine/platform/files_node.ts";
import { confusionTable, type TestPredictions } from "../../refiner/evaluation/index.ts";
import type { ImageSource } from "../../refiner/index.ts";
import { csvCell } from "../output/csv.ts";
import { UsageError } from "../program/usage_error.ts";

/** Checks the names of files that predictions are written to. @throws UsageError for an ending that says no known format */
export function checkPredictionFiles(files: { readonly predictions?: string; readonly confusion?: string }): void {
  const { predictions, confusion } = files;
  if (predictions !== undefined && !/\.(csv|parquet)$/i.test(predictions))
    throw new UsageError(`evaluate: ${predictions} ends with neither .csv nor .parquet; choose one for --predictions`);
  if (confusion !== undefined && !/\.csv$/i.test(confusion))
    throw new UsageError(`evaluate: ${confusion} does not end with .csv; choose such a name for --confusion`);
}

interface PredictionRow {
  readonly path: string;
  /** Name of the true class. */
  readonly label: string;
  /** Name of the predicted class; null for none. */
  readonly prediction: string | null;
  /** Null where the protocol gives none. */
  readonly probability: number | null;
  readonly "right forms": number | null;
}

function rowsOf(
  { indices, labels, predicted, probabilities, rightForms, classNames }: TestPredictions,
  test: ImageSource,
): PredictionRow[] {
  return Array.from(indices, (index, i) => ({
    path: test.name(index),
    label: classNames[labels[i] ?? -1] ?? "",
    prediction: classNames[predicted[i] ?? -1] ?? null,
    probability: probabilities?.[i] ?? null,
    "right forms": rightForms?.[i] ?? null,
  }));
}

/** Writes path, label, prediction and probability of every test image, and the share of its forms, 0 … 1, that were classified rightly, if it had any. */
export async function writePredictions(path: string, predictions: TestPredictions, test: ImageSource): Promise<void> {
  const rows = rowsOf(predictions, test);
  const written = predictions.rightForms ? [...columns, formsColumn] : columns;
  await writePredictionTable(
    path,
    written,
    rows.map((row) => written.map(({ name }) => row[name])),
  );
}

const columns = [
  { name: "path", kind: "text" },
  { name: "label", kind: "text" },
  { name: "prediction", kind: "optional text" },
  { name: "probability", kind: "optional number" },
] as const satisfies readonly PredictionColumn[];

const formsColumn = { name: "right forms", kind: "optional number" } as const satisfies PredictionColumn;

/** A column of predictions. */
export interface PredictionColumn {
  readonly name: string;
  readonly kind: "text" | "optional text" | "whole number" | "optional number";
}

type Cell = string | number | null;

/** Writes a table of predictions as its name ends: .csv or .parquet. */
export async function writePredictionTable(
  path: string,
  table: readonly PredictionColumn[],
  rows: readonly (readonly Cell[])[],
): Promise<void> {
  const names = table.map(({ name }) => name);
  const write = (sink: ByteSink) =>
    /\.parquet$/i.test(path) ? writeParquet(sink, table, rows) : writeTable(sink, [names, ...rows]);
  await writeFileAtomic(path, write, { overwrite: true });
}

/** Writes rows as CSV. */
export async function writeTable(
  sink: ByteSink,
  rows: readonly (readonly (string | number | null)[])[],
): Promise<void> {
  const text = rows.map((cells) => `${cells.map(csvCell).join(",")}\n`).join("");
  await sink.write(new TextEncoder().encode(text));
}

const parquetTypes = {
  text: { type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
  "optional text": { type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
  "whole number": { type: "INT32", repetition_type: "REQUIRED" },
  "optional number": { type: "FLOAT", repetition_type: "OPTIONAL" },
} as const;

async function writeParquet(
  sink: ByteSink,
  table: readonly PredictionColumn[],
  rows: readonly (readonly Cell[])[],
): Promise<void> {
  const writer = new ByteWriter();
  const parquet = new ParquetWriter({
    writer,
    createdBy: "mimrefine",
    schema: [
      { name: "root", num_children: table.length },
      ...table.map(({ name, kind }) => ({ name, ...parquetTypes[kind] })),
    ],
  });
  await parquet.write({ columnData: table.map(({ name }, i) => ({ name, data: rows.map((row) => row[i]) })) });
  await parquet.finish();
  await sink.write(new Uint8Array(writer.buffer, 0, writer.index));
}

/** Writes the confusion table: a row per true class, a column per predicted one. */
export async function writeConfusion(path: string, predictions: TestPredictions): Promise<void> {
  const { classNames } = predictions;
  const table = confusionTable(predictions);
  const rows = classNames.map((name, i) => [name, ...(table[i] ?? [])]);
  await writeFileAtomic(path, (sink) => writeTable(sink, [["true \\ predicted", ...classNames], ...rows]), {
    overwrite: true,
  });
}
