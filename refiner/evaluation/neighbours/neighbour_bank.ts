import { type Device, nearest, type RecordedProgram, recordProgram, rows, type Tensor } from "../../../engine/index.ts";
import { EvaluationError } from "../core/errors.ts";
import { checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";

/** The k nearest rows of a bank for some queries. */
export interface Neighbours {
  readonly k: number;
  /** Cosine similarities, `[queries, k]`, best first. */
  readonly similarities: Float32Array;
  /** Rows of the bank, `[queries, k]`; of equal similarities the lower one first. */
  readonly indices: Uint32Array;
}

/** Rows that one search lists completely: the largest k of `nearest`, and a multiple of its alignment. */
const listedRows = 256;
const rowAlignment = 64;
const queriesPerRun = 1024;
/** Values of one result on their way to the host: 64 MiB each of similarities and indices. */
const valuesPerRun = 2 ** 24;

interface Part {
  readonly firstRow: number;
  /** Neighbours found in this part. */
  readonly k: number;
  readonly bank: Tensor;
}

/**
 * A bank of features on the device, searched by cosine similarity, exactly. Device memory is that of the bank and of one
 * chunk of queries, however many there are. Call `destroy` when done.
 */
export class NeighbourBank {
  readonly #states: Tensor[] = [];
  readonly #parts: Part[] = [];
  #program: RecordedProgram<Record<string, Tensor>> | undefined;
  #queriesPerRun = 0;

  /** @throws EvaluationError if k is no whole number of 1 … rows, or a feature is NaN or infinite */
  constructor(
    readonly device: Device,
    readonly features: FeatureMatrix,
    readonly k: number,
  ) {
    checkMatrix("neighbours", features, "bank");
    const { rows: count, columns } = features;
    if (!Number.isInteger(k) || k < 1 || k > count) {
      throw new EvaluationError(`neighbours: k is ${k} for a bank of ${count} rows; choose 1 … ${count}`);
    }
    const perBuffer = Math.floor(device.limits.maxBufferSize / (4 * columns * rowAlignment)) * rowAlignment;
    for (let from = 0; from < count; from += perBuffer) this.#addBuffer(from, Math.min(count, from + perBuffer));
  }

  #addBuffer(from: number, to: number): void {
    const { device, k } = this;
    const { data, columns } = this.features;
    const values = Float32Array.from(data.subarray(from * columns, to * columns));
    const state = device.tensor(values, [to - from, columns], "f32", "bank");
    this.#states.push(state);
    const partRows = k > listedRows ? listedRows : to - from;
    for (let first = 0; first < to - from; first += partRows) {
      const last = Math.min(to - from, first + partRows);
      const bank = partRows < to - from ? rows(state, first, last) : state;
      this.#parts.push({ firstRow: from + first, k: Math.min(k, last - first), bank });
    }
  }

  /**
   * @param queries - of the bank's width
   * @throws EvaluationError for another width, NaN or infinite values
   */
  async search(queries: FeatureMatrix): Promise<Neighbours> {
    checkMatrix("neighbours", queries, "queries");
    const { k } = this;
    const { columns } = this.features;
    if (queries.columns !== columns) {
      throw new EvaluationError(
        `neighbours: queries of width ${queries.columns} for a bank of width ${columns}; take both from the same block`,
      );
    }
    const program = this.#recorded(queries.rows);
    const chunk = this.#queriesPerRun;
    const similarities = new Float32Array(queries.rows * k);
    const indices = new Uint32Array(queries.rows * k);
    const names = Object.keys(program.outputs);
    for (let from = 0; from < queries.rows; from += chunk) {
      const count = Math.min(chunk, queries.rows - from);
      const input = new Float32Array(chunk * columns); // rows of zeros behind the last query
      input.set(queries.data.subarray(from * columns, (from + count) * columns));
      const found = await (await program.run({ queries: input }, names)).read();
      const lists = this.#parts.map((part, i) => ({
        ...part,
        similarities: found[`similarities${i}`] ?? [],
        indices: found[`indices${i}`] ?? [],
      }));
      for (let query = 0; query < count; query++) merge(lists, query, k, from + query, similarities, indices);
    }
    return { k, similarities, indices };
  }

  #recorded(queryCount: number): RecordedProgram<Record<string, Tensor>> {
    const most = Math.min(queriesPerRun, Math.max(1, Math.floor(valuesPerRun / this.k)));
    const wanted = Math.ceil(queryCount / Math.ceil(queryCount / most)); // equal chunks waste the fewest rows
    if (this.#program && this.#queriesPerRun === wanted) return this.#program;
    this.#program?.destroy();
    this.#queriesPerRun = wanted;
    this.#program = recordProgram<Record<string, Tensor>>(
      this.device,
      (p) => {
        const x = p.input("queries", [wanted, this.features.columns]);
        const outputs: Record<string, Tensor> = {};
        this.#parts.forEach(({ bank, k }, i) => {
          const found = nearest(x, bank, { k });
          outputs[`similarities${i}`] = found.similarities;
          outputs[`indices${i}`] = found.indices;
        });
        return outputs;
      },
      { name: "neighbours", inference: true },
    );
    return this.#program;
  }

  /** Frees the memory on the device. */
  destroy(): void {
    this.#program?.destroy();
    this.#program = undefined;
    for (const state of this.#states) state.destroy();
  }
}

interface PartLists extends Part {
  readonly similarities: ArrayLike<number>;
  readonly indices: ArrayLike<number>;
}

/** Writes the k best of the parts' lists, each of which is in order. */
function merge(
  lists: readonly PartLists[],
  query: number,
  k: number,
  row: number,
  similarities: Float32Array,
  indices: Uint32Array,
): void {
  const all = lists.flatMap((list) =>
    Array.from({ length: list.k }, (_, rank) => ({
      similarity: list.similarities[query * list.k + rank] ?? 0,
      index: list.firstRow + (list.indices[query * list.k + rank] ?? 0),
    })),
  );
  if (lists.length > 1) all.sort((a, b) => b.similarity - a.similarity || a.index - b.index);
  for (let rank = 0; rank < k; rank++) {
    similarities[row * k + rank] = all[rank]?.similarity ?? 0;
    indices[row * k + rank] = all[rank]?.index ?? 0;
  }
}
