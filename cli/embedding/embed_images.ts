import { basename } from "node:path";
import type { ByteSink } from "../../engine/files/index.ts";
import { writeFileAtomic } from "../../engine/platform/files_node.ts";
import { configKey } from "../../models/index.ts";
import { type ImageSource, orderedBatches } from "../../refiner/data/index.ts";
import { type FeatureExtractor, featureBatch } from "../../refiner/evaluation/features/embedding.ts";
import { Progress } from "../output/progress.ts";
import type { Output } from "../output/streams.ts";
import { EmbeddedRows } from "./embedded_rows.ts";
import { type FeatureFormat, listBreaks, writeFeatures, writeSourceList } from "./feature_files.ts";
import { FeatureSpool } from "./feature_spool.ts";

/** The list of images that stands beside a feature file. */
export function listOf(out: string): string {
  return `${out}.files.tsv`;
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
  readonly weights: string;
}

/** Computes and writes the features and the list of images, streaming. @throws FileExistsError, WriteTargetError */
export async function embedImages(
  { extractor, source, out, format, weights }: EmbedJob,
  options: ReadingOptions,
  output: Output,
): Promise<void> {
  const startMs = performance.now();
  const list = listOf(out);
  const overwrite = options.force;
  const spool = await FeatureSpool.open(out, extractor.width);
  const sources = new EmbeddedRows(source);
  try {
    // The list takes its name last: where it stands, the features are complete.
    const writeList = async (listSink: ByteSink): Promise<void> => {
      await writeFileAtomic(out, writeMatrix, { overwrite });
      await writeSourceList(listSink, sources);
    };
    const writeMatrix = async (sink: ByteSink): Promise<void> => {
      await computeRows(extractor, source, spool, sources, options, output);
      const { placements, pooling } = extractor.options;
      await writeFeatures(sink, format, spool, sources, {
        "mimrefine.weights": basename(weights),
        [configKey]: JSON.stringify(extractor.model.config),
        "mimrefine.block": String(placements[0]),
        "mimrefine.pool": pooling,
      });
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

/** Groups of a fixed size go to the device while the next images are decoded and the previous results come back. */
async function computeRows(
  extractor: FeatureExtractor,
  source: ImageSource,
  spool: FeatureSpool,
  sources: EmbeddedRows,
  options: ReadingOptions,
  output: Output,
): Promise<void> {
  const progress = new Progress(output, source.length, "images");
  let waiting: Parameters<FeatureExtractor["submit"]>[0][number][] = [];
  let pending: (() => Promise<readonly Float32Array[]>) | undefined;
  const collect = async (): Promise<void> => {
    const [rows] = (await pending?.()) ?? [];
    pending = undefined;
    if (rows) await spool.append(rows);
    progress.update(spool.rows);
  };
  const submit = async (): Promise<void> => {
    const next = await extractor.submit(waiting);
    waiting = [];
    await collect();
    pending = next;
  };
  const batches = orderedBatches(source, {
    batchSize: options.batch,
    prefetch: 1,
    resizeTo: extractor.decodePixels,
    maxBad: options.maxBad,
    onBroken: (error) => output.warning(error.message),
  });
  try {
    for await (const { images, indices, labels } of batches) {
      for (const [i, image] of images.entries()) {
        const index = indices[i] ?? 0;
        sources.push(index, labels[i] ?? -1);
        if (source.name(index).search(listBreaks) >= 0)
          output.warning(`${JSON.stringify(source.name(index))}: tabs and line breaks stand as spaces in the list`);
        if (waiting.push(image) === featureBatch) await submit();
      }
    }
    if (waiting.length > 0) await submit();
    await collect();
  } finally {
    progress.end();
  }
}
