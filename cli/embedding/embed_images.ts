import type { ByteSink } from "../../engine/files/index.ts";
import { writeFileAtomic } from "../../engine/platform/files_node.ts";
import type { ImageSource } from "../../refiner/data/index.ts";
import type { FeatureExtractor } from "../../refiner/evaluation/index.ts";
import type { Exchange } from "../../refiner/exchange/exchange.ts";
import { Progress } from "../output/progress.ts";
import type { Output } from "../output/streams.ts";
import { EmbeddedRows } from "./embedded_rows.ts";
import { type FeatureFormat, writeFeatures, writeSourceList } from "./feature_files.ts";
import { FeatureSpool } from "./feature_spool.ts";
import { type Making, noteOf } from "./index_note.ts";
import { needsQuotes } from "./list_cells.ts";
import { rankedFeatures } from "./ranked_features.ts";

/** The list of images that stands beside a feature file. */
export function listOf(out: string): string {
  return `${out}.files.tsv`;
}

/** What a `.npy` file was made with stands beside it; the other formats hold it themselves. */
export function noteFileOf(out: string, format: FeatureFormat): string | undefined {
  return format === "npy" ? `${out}.json` : undefined;
}

export interface ReadingOptions {
  /** Images decoded together. */
  readonly batch: number;
  readonly maxBad: number;
  /** Overwrite existing files. */
  readonly force: boolean;
}

/** What is embedded, and where to. */
export interface EmbedJob {
  readonly extractor: FeatureExtractor;
  readonly source: ImageSource;
  readonly out: string;
  readonly format: FeatureFormat;
  readonly making: Making;
  /** Of the processes that compute; the first one writes. */
  readonly exchange: Exchange;
}

/** Computes and writes the features and the list of images, streaming. @throws FileExistsError, WriteTargetError */
export async function embedImages(
  { extractor, source, out, format, making, exchange }: EmbedJob,
  options: ReadingOptions,
  output: Output,
): Promise<void> {
  if (exchange.rank > 0) {
    const reading = { ...options, onBroken: () => undefined };
    for await (const _ of rankedFeatures(extractor, source, reading, exchange));
    return;
  }
  const startMs = performance.now();
  const list = listOf(out);
  const overwrite = options.force;
  const note = await noteOf(making);
  const spool = await FeatureSpool.open(out, extractor.width);
  const sources = new EmbeddedRows(source);
  try {
    // All are written before the first takes its name, so that older features keep their list where there is no room for both. The
    // list takes its name last: where it stands, the features are complete.
    const writeList = (listSink: ByteSink): Promise<void> =>
      writeFileAtomic(out, (sink) => writeBesideNote(sink, listSink), { overwrite });
    const writeBesideNote = async (sink: ByteSink, listSink: ByteSink): Promise<void> => {
      const noteFile = noteFileOf(out, format);
      if (noteFile === undefined) return writeRows(sink, listSink);
      const text = new TextEncoder().encode(`${JSON.stringify(note, null, 2)}\n`);
      const writeNote = async (noteSink: ByteSink): Promise<void> => {
        await writeRows(sink, listSink);
        await noteSink.write(text);
      };
      await writeFileAtomic(noteFile, writeNote, { overwrite });
    };
    const writeRows = async (sink: ByteSink, listSink: ByteSink): Promise<void> => {
      await computeRows({ extractor, source, exchange }, spool, sources, options, output);
      await writeFeatures(sink, format, spool, sources, note);
      await writeSourceList(listSink, sources);
    };
    await writeFileAtomic(list, writeList, { overwrite });
  } finally {
    await spool.close();
  }
  const seconds = (performance.now() - startMs) / 1000;
  output.line(
    `${out}: ${sources.length} × ${extractor.width} f32 in ${seconds.toFixed(1)} s (${(sources.length / seconds).toFixed(1)} images/s); images of the rows in ${list}`,
  );
  output.result({
    out,
    files: list,
    format,
    images: sources.length,
    skipped: source.length - sources.length,
    width: extractor.width,
    seconds,
  });
}

async function computeRows(
  { extractor, source, exchange }: Pick<EmbedJob, "extractor" | "source" | "exchange">,
  spool: FeatureSpool,
  sources: EmbeddedRows,
  { batch, maxBad }: ReadingOptions,
  output: Output,
): Promise<void> {
  const progress = new Progress(output, source.length, "images");
  const reading = { batch, maxBad, onBroken: (error: Error) => output.warning(error.message) };
  const quoted: string[] = [];
  try {
    for await (const { features, indices, labels } of rankedFeatures(extractor, source, reading, exchange)) {
      indices.forEach((index, i) => {
        sources.push(index, labels[i] ?? -1);
        if (needsQuotes(source.name(index))) quoted.push(source.name(index));
      });
      for (const rows of features) await spool.append(rows);
      progress.update(spool.rows);
    }
  } finally {
    progress.end();
  }
  const [first] = quoted;
  if (first !== undefined)
    output.notice(
      `${quoted.length} ${quoted.length === 1 ? "name does" : "names do"} not fit into a line of the list (such as ${JSON.stringify(first)}) and stand there as JSON strings`,
    );
}
