import type { ImageSource } from "../../data/image_source.ts";
import { BrokenImages } from "../../data/index.ts";
import type { RunStore } from "../../training/run_store.ts";
import type { FeatureExtractor } from "../features/feature_extractor.ts";
import { streamFeatures } from "../features/stream_features.ts";
import type { LabelledRows } from "./linear_probe_method.ts";
import { joinedRows, type ProbeLayout, type ProbeRowSet, ProbeRows, StoredProbeRows } from "./probe_rows.ts";

export interface PlainFeatureOptions {
  /** Largest accepted share of broken images in each set. */
  readonly maxBad: number;
  /** Images decoded together; changes speed and memory only. */
  readonly decodedTogether?: number | undefined;
  /** Takes sets that do not fit into `memoryBytes`. */
  readonly store: RunStore;
  /** Host memory for the features of all sets together; default: no bound. */
  readonly memoryBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Tells of broken images. */
  readonly onNotice?: ((text: string) => void) | undefined;
  /** Images encoded so far, of all sets. */
  readonly onEncoded?: ((images: number, total: number) => void) | undefined;
}

/** Folder of a store for features that do not fit into memory. */
const featureFolder = "features";

/** The features of a set of images. */
export interface EncodedSet extends LabelledRows {
  /** Place of each row in its source; broken images are left out. */
  readonly indices: readonly number[];
}

/** Images as the encoder sees them in evaluations, once each. */
export class PlainFeatures {
  #done = 0;
  #bytes = { memory: 0, disk: 0 };
  readonly #open: { readonly file: string; readonly close: () => Promise<void> }[] = [];
  readonly #total: number;

  constructor(
    readonly extractor: FeatureExtractor,
    readonly layout: ProbeLayout,
    readonly options: PlainFeatureOptions,
    sets: readonly (ImageSource | undefined)[],
  ) {
    this.#total = sets.reduce((sum, set) => sum + (set?.length ?? 0), 0);
  }

  /** Host memory and disk that the features take. */
  get bytes(): { readonly memory: number; readonly disk: number } {
    return this.#bytes;
  }

  /** @param name - of the file, where the features go to the store */
  async encode(source: ImageSource, name: string): Promise<EncodedSet> {
    const { grid } = this.layout;
    const { store, memoryBytes = Number.POSITIVE_INFINITY } = this.options;
    const bytes = ProbeRows.bytes(grid, source.length);
    const labels: number[] = [];
    const indices: number[] = [];
    const set = (rows: ProbeRowSet): EncodedSet => ({ rows, labels: Uint32Array.from(labels), indices });
    if (this.#bytes.memory + bytes <= memoryBytes) {
      this.#bytes = { ...this.#bytes, memory: this.#bytes.memory + bytes };
      const rows = new ProbeRows(grid);
      for await (const batch of this.#batches(source, labels, indices)) rows.append(batch.rows, batch.count);
      return set(rows);
    }
    const file = `${featureFolder}/${name}.f32`;
    await store.write(file, async (sink) => {
      for await (const { rows, count } of this.#batches(source, labels, indices))
        await sink.write(new Uint8Array(joinedRows(grid, rows, count).buffer));
    });
    const stored = await store.open(file);
    this.#open.push({ file, close: () => stored.close() });
    this.#bytes = { ...this.#bytes, disk: this.#bytes.disk + stored.sizeBytes };
    return set(new StoredProbeRows(grid, stored));
  }

  async *#batches(source: ImageSource, labels: number[], indices: number[]) {
    const { maxBad, onNotice, onEncoded, decodedTogether, signal } = this.options;
    const broken = new BrokenImages(source.length, {
      maxBad,
      onBroken: (error) => onNotice?.(error.message),
    });
    const reading = { broken, ...(decodedTogether ? { batch: decodedTogether } : {}), ...(signal ? { signal } : {}) };
    for await (const batch of streamFeatures(this.extractor, source, reading)) {
      const count = batch.indices.length;
      labels.push(...batch.labels);
      indices.push(...batch.indices);
      yield { rows: this.layout.arrange(batch.features, count), count };
      this.#done += count;
      onEncoded?.(this.#done, this.#total);
    }
  }

  /** Closes and removes what went to the store. */
  async destroy(): Promise<void> {
    for (const { file, close } of this.#open.splice(0)) {
      await close();
      await this.options.store.remove(file);
    }
  }
}
