import { EvaluationError } from "../core/errors.ts";
import type { FeatureRows } from "../features/feature_extractor.ts";
import type { ProbeGrid, ProbeSource } from "./probe_grid.ts";

/** Values of some images per source, `[images, width of the source]`. */
export type SourceRows = ReadonlyMap<ProbeSource, Float32Array>;

/** Rows per piece of host memory: single arrays of gigabytes are refused by some runtimes. */
const rowsPerPiece = 1024;

/** Lays what the extractor gives out as sources: class tokens of all blocks first, then their means over patches. */
export class ProbeLayout {
  constructor(
    readonly grid: ProbeGrid,
    /** Values per image and block of the extractor. */
    readonly blockWidth: number,
    /** 2 for `cls+avg`. */
    readonly poolings: 1 | 2,
  ) {}

  /** Values per image of all sources. */
  get width(): number {
    return [...this.grid.sources.values()].reduce((sum, width) => sum + width, 0);
  }

  /** @param features - per block of the extractor, the final output last @throws EvaluationError for a value that is not finite */
  arrange(features: FeatureRows, images: number): SourceRows {
    const raw = features.slice(0, -1);
    const final = features.slice(-1);
    return new Map(
      [...this.grid.sources].map(([source, width]) => [
        source,
        this.#joined(source === "last1" ? final : raw, images, width),
      ]),
    );
  }

  #joined(blocks: FeatureRows, images: number, width: number): Float32Array {
    const part = this.blockWidth / this.poolings;
    const joined = new Float32Array(images * width);
    for (let image = 0; image < images; image++) {
      let at = image * width;
      for (let pooling = 0; pooling < this.poolings; pooling++) {
        for (const block of blocks) {
          const from = image * this.blockWidth + pooling * part;
          joined.set(block.subarray(from, from + part), at);
          at += part;
        }
      }
    }
    const bad = joined.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0)
      throw new EvaluationError(
        `linear probe: a feature is ${joined[bad]}, which is not finite; the encoder has diverged or its file is damaged`,
      );
    return joined;
  }
}

/** Features of a set of images in host memory, in pieces. */
export class ProbeRows {
  readonly #pieces: Float32Array[] = [];
  readonly #widths: readonly (readonly [ProbeSource, number])[];
  readonly #width: number;
  #rows = 0;

  constructor({ sources }: ProbeGrid) {
    this.#widths = [...sources];
    this.#width = this.#widths.reduce((sum, [, width]) => sum + width, 0);
  }

  get length(): number {
    return this.#rows;
  }

  /** Host memory of so many rows. */
  static bytes({ sources }: ProbeGrid, rows: number): number {
    const width = [...sources.values()].reduce((sum, one) => sum + one, 0);
    return Math.ceil(rows / rowsPerPiece) * rowsPerPiece * width * 4;
  }

  append(rows: SourceRows, count: number): void {
    for (let row = 0; row < count; row++) {
      if (this.#rows % rowsPerPiece === 0) this.#pieces.push(new Float32Array(rowsPerPiece * this.#width));
      const piece = this.#pieces.at(-1);
      let at = (this.#rows % rowsPerPiece) * this.#width;
      for (const [source, width] of this.#widths) {
        piece?.set(rows.get(source)?.subarray(row * width, (row + 1) * width) ?? [], at);
        at += width;
      }
      this.#rows++;
    }
  }

  /**
   * Copies of some rows.
   *
   * @param room - rows of the result; those behind the last index are 0
   */
  gather(indices: ArrayLike<number>, room = indices.length): SourceRows {
    const found = new Map(this.#widths.map(([source, width]) => [source, new Float32Array(room * width)]));
    for (let row = 0; row < indices.length; row++) {
      const index = indices[row] ?? 0;
      const piece = this.#pieces[Math.floor(index / rowsPerPiece)];
      let from = (index % rowsPerPiece) * this.#width;
      for (const [source, width] of this.#widths) {
        if (piece) found.get(source)?.set(piece.subarray(from, from + width), row * width);
        from += width;
      }
    }
    return found;
  }
}
