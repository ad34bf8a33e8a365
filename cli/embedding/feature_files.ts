import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import { type ByteSink, hostTensor, NpyRowWriter, TensorItem, writeSafetensors } from "../../engine/files/index.ts";
import { OptionError } from "../../engine/index.ts";
import { UsageError } from "../program/usage_error.ts";
import type { EmbeddedRows } from "./embedded_rows.ts";
import type { FeatureSpool } from "./feature_spool.ts";
import { listCell } from "./list_cells.ts";
import { checksumKey, noChecksum, TableChecksum } from "./table_checksum.ts";

export type FeatureFormat = "npy" | "safetensors" | "parquet";

const formats: readonly FeatureFormat[] = ["npy", "safetensors", "parquet"];

/** The format that a file's name asks for. @throws UsageError */
export function featureFormat(path: string): FeatureFormat {
  const format = formats.find((name) => path.toLowerCase().endsWith(`.${name}`));
  if (format) return format;
  throw new UsageError(`embed: ${path} ends with none of ${formats.map((name) => `.${name}`).join(", ")}; choose one`);
}

/** Writes the spooled rows in a format; memory does not grow with their number. */
export async function writeFeatures(
  sink: ByteSink,
  format: FeatureFormat,
  spool: FeatureSpool,
  sources: EmbeddedRows,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  if (format === "npy") return writeRows(sink, spool);
  if (format === "parquet") return writeTable(sink, spool, sources, metadata);
  return writeSafetensors(sink, new Map([["features", new SpooledItem(spool)]]), metadata);
}

async function writeRows(sink: ByteSink, spool: FeatureSpool): Promise<void> {
  const writer = new NpyRowWriter(sink, "f32", [spool.rows, spool.width]);
  for await (const values of spool.pieces())
    await writer.write(hostTensor("f32", [values.length / spool.width, spool.width], values));
  await writer.finish();
}

/** A tensor whose elements go from the spool to the file piece by piece. */
class SpooledItem extends TensorItem {
  constructor(readonly spool: FeatureSpool) {
    super("f32", [spool.rows, spool.width], () => {
      throw new OptionError("embed: spooled features are written, not read");
    });
  }

  override async writeTo(sink: ByteSink): Promise<void> {
    for await (const values of this.spool.pieces())
      await sink.write(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
}

/** Rows per group of a table, and per piece of the list: what a reader loads at least, and what is held here. */
const rowsPerGroup = 1024;

/** Columns path, label and embedding (a list of floats). */
async function writeTable(
  sink: ByteSink,
  spool: FeatureSpool,
  sources: EmbeddedRows,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const writer = new ByteWriter();
  const table = new ParquetWriter({
    writer,
    createdBy: "mimrefine",
    kvMetadata: Object.entries({ ...metadata, [checksumKey]: noChecksum }).map(([key, value]) => ({ key, value })),
    schema: [
      { name: "root", num_children: 3 },
      { name: "path", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
      { name: "label", type: "INT32", repetition_type: "OPTIONAL" },
      { name: "embedding", converted_type: "LIST", repetition_type: "REQUIRED", num_children: 1 },
      { name: "list", repetition_type: "REPEATED", num_children: 1 },
      { name: "element", type: "FLOAT", repetition_type: "REQUIRED" },
    ],
  });
  const checksum = new TableChecksum();
  const drain = async (): Promise<void> => {
    const bytes = new Uint8Array(writer.buffer, 0, writer.index);
    checksum.add(bytes);
    await sink.write(bytes);
    writer.index = 0;
  };
  let from = 0;
  for await (const values of spool.pieces(rowsPerGroup)) {
    const count = values.length / spool.width;
    const part = sources.slice(from, from + count);
    await table.write({
      rowGroupSize: rowsPerGroup,
      columnData: [
        { name: "path", data: part.map(({ path }) => path) },
        { name: "label", data: part.map(({ label }) => (label < 0 ? null : label)) },
        {
          name: "embedding",
          data: Array.from({ length: count }, (_, i) =>
            Array.from(values.subarray(i * spool.width, (i + 1) * spool.width)),
          ),
        },
      ],
    });
    await drain();
    from += count;
  }
  await table.finish();
  const footer = new Uint8Array(writer.buffer, 0, writer.index);
  checksum.sign(footer);
  await sink.write(footer);
}

/** Writes the list that stands beside a feature file: one line per row, in its order; see `listCell`. */
export async function writeSourceList(sink: ByteSink, sources: EmbeddedRows): Promise<void> {
  const { classNames } = sources.source;
  const write = (lines: readonly (readonly string[])[]): Promise<void> => {
    const text = lines.map((cells) => `${cells.map(listCell).join("\t")}\n`);
    return sink.write(new TextEncoder().encode(text.join("")));
  };
  await write([["path", "label", "class"]]);
  for (let from = 0; from < sources.length; from += rowsPerGroup) {
    const part = sources.slice(from, from + rowsPerGroup);
    await write(
      part.map(({ path, label }) => (label < 0 ? [path, "", ""] : [path, String(label), classNames?.[label] ?? ""])),
    );
  }
}
