import type { ImageSource } from "../../data/image_source.ts";
import { BrokenImages } from "../../data/index.ts";
import type { FeatureExtractor } from "../features/feature_extractor.ts";
import { streamFeatures } from "../features/stream_features.ts";
import type { LabelledRows } from "./linear_probe_method.ts";
import { type ProbeLayout, ProbeRows } from "./probe_rows.ts";

export interface PlainFeatureOptions {
  /** Largest accepted share of broken images in each set. */
  readonly maxBad: number;
  /** Images decoded together; changes speed and memory only. */
  readonly decodedTogether?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Tells of broken images. */
  readonly onNotice?: ((text: string) => void) | undefined;
  /** Images encoded so far, of all sets. */
  readonly onEncoded?: ((images: number, total: number) => void) | undefined;
}

/** Images as the encoder sees them in evaluations, once each. */
export class PlainFeatures {
  #done = 0;
  readonly #total: number;

  constructor(
    readonly extractor: FeatureExtractor,
    readonly layout: ProbeLayout,
    readonly options: PlainFeatureOptions,
    sets: readonly (ImageSource | undefined)[],
  ) {
    this.#total = sets.reduce((sum, set) => sum + (set?.length ?? 0), 0);
  }

  async encode(source: ImageSource): Promise<{ readonly labelled: LabelledRows; readonly indices: readonly number[] }> {
    const { maxBad, onNotice, onEncoded, decodedTogether, signal } = this.options;
    const rows = new ProbeRows(this.layout.grid);
    const labels: number[] = [];
    const indices: number[] = [];
    const broken = new BrokenImages(source.length, {
      maxBad,
      onBroken: (error) => onNotice?.(error.message),
    });
    const reading = { broken, ...(decodedTogether ? { batch: decodedTogether } : {}), ...(signal ? { signal } : {}) };
    for await (const batch of streamFeatures(this.extractor, source, reading)) {
      rows.append(this.layout.arrange(batch.features, batch.indices.length), batch.indices.length);
      labels.push(...batch.labels);
      indices.push(...batch.indices);
      this.#done += batch.indices.length;
      onEncoded?.(this.#done, this.#total);
    }
    return { labelled: { rows, labels: Uint32Array.from(labels) }, indices };
  }
}
