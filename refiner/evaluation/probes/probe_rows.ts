import type { ByteSource } from "../../../engine/files/index.ts";
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
    const blocksOf = (source: ProbeSource): FeatureRows => {
      if (source === "last1") return features.slice(-1);
      return source === "last1 raw" ? raw.slice(-1) : raw;
    };
    return new Map(
      [...this.grid.sources].map(([source, width]) => [source, this.#joined(blocksOf(source), images, width)]),
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

/** Features of a set of images, row by row. */
export interface ProbeRowSet {
  readonly length: number;
  /**
   * Copies of some rows.
   *
   * @param room - rows of the result; those behind the last index are 0
   */
  gather(indices: ArrayLike<number>, room?: number): Promise<SourceRows>;
}

/** Values of a row, all sources one behind the other. */
function widthOf({ sources }: ProbeGrid): number {
  return [...sources.values()].reduce((sum, width) => sum + width, 0);
}

/** Room for rows of every source. */
function emptyRows({ sources }: ProbeGrid, room: number): Map<ProbeSource, Float32Array> {
  return new Map([...sources].map(([source, width]) => [source, new Float32Array(room * width)]));
}

/** Puts one row into the room of every source. */
function place({ sources }: ProbeGrid, row: Float32Array, rows: SourceRows, at: number): void {
  let from = 0;
  for (const [source, width] of sources) {
    rows.get(source)?.set(row.subarray(from, from + width), at * width);
    from += width;
  }
}

/** Rows with all sources one behind the other. */
export function joinedRows(grid: ProbeGrid, rows: SourceRows, count: number): Float32Array {
  const total = widthOf(grid);
  const joined = new Float32Array(total * count);
  let before = 0;
  for (const [source, width] of grid.sources) {
    const values = rows.get(source) ?? new Float32Array();
    for (let row = 0; row < count; row++)
      joined.set(values.subarray(row * width, (row + 1) * width), row * total + before);
    before += width;
  }
  return joined;
}

/** Features in host memory, in pieces. */
export class ProbeRows implements ProbeRowSet {
  readonly #pieces: Float32Array[] = [];
  readonly #width: number;
  #rows = 0;

  constructor(readonly grid: ProbeGrid) {
    this.#width = widthOf(grid);
  }

  get length(): number {
    return this.#rows;
  }

  /** Memory of so many rows. */
  static bytes(grid: ProbeGrid, rows: number): number {
    return Math.ceil(rows / rowsPerPiece) * rowsPerPiece * widthOf(grid) * 4;
  }

  append(rows: SourceRows, count: number): void {
    const joined = joinedRows(this.grid, rows, count);
    for (let row = 0; row < count; row++) {
      if (this.#rows % rowsPerPiece === 0) this.#pieces.push(new Float32Array(rowsPerPiece * this.#width));
      const values = joined.subarray(row * this.#width, (row + 1) * this.#width);
      this.#pieces.at(-1)?.set(values, (this.#rows % rowsPerPiece) * this.#width);
      this.#rows++;
    }
  }

  async gather(indices: ArrayLike<number>, room = indices.length): Promise<SourceRows> {
    const found = emptyRows(this.grid, room);
    for (let row = 0; row < indices.length; row++) {
      const index = indices[row] ?? 0;
      const from = (index % rowsPerPiece) * this.#width;
      const piece = this.#pieces[Math.floor(index / rowsPerPiece)];
      if (piece) place(this.grid, piece.subarray(from, from + this.#width), found, row);
    }
    return found;
  }
}

/** Rows of a file that are asked for at a time. */
const readsTogether = 64;

/** Features in a file, f32 and row by row: for sets that are larger than memory. */
export class StoredProbeRows implements ProbeRowSet {
  readonly #rowBytes: number;

  constructor(
    readonly grid: ProbeGrid,
    readonly file: ByteSource,
  ) {
    this.#rowBytes = 4 * widthOf(grid);
  }

  get length(): number {
    return this.file.sizeBytes / this.#rowBytes;
  }

  async gather(indices: ArrayLike<number>, room = indices.length): Promise<SourceRows> {
    const found = emptyRows(this.grid, room);
    for (let first = 0; first < indices.length; first += readsTogether) {
      const count = Math.min(readsTogether, indices.length - first);
      const reads = Array.from({ length: count }, (_, i) =>
        this.file.read((indices[first + i] ?? 0) * this.#rowBytes, this.#rowBytes),
      );
      for (const [i, bytes] of (await Promise.all(reads)).entries())
        place(this.grid, new Float32Array(bytes.slice().buffer), found, first + i);
    }
    return found;
  }
}
