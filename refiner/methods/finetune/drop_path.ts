import { hostPermutation, hostUniform, type SampleFactors, type Tensor } from "../../../engine/index.ts";
import type { BranchKeep } from "../../../models/index.ts";

/**
 * How many samples of a batch keep a branch: `exact` the same number in every batch, as the published library of the time;
 * `as-published` is its later form, where samples are drawn one by one if that number would be off by more than 1 %.
 */
export type DropPathCount = "exact" | "as-published";

/** What happens to one branch in one batch. */
export interface DropPathRule {
  readonly rule: "none" | "exact count" | "per sample";
  /** Samples that keep the branch, by the exact count. */
  readonly kept: number;
  /** What the branch of a kept sample is multiplied with, so that the mean stays. */
  readonly scale: number;
}

/** Distance of the exact share from the wanted one above which samples are drawn one by one (KappaModules, `drop_path.py`). */
const largestDistance = 0.01;

/** Probability of each block's branches to be dropped: from 0 evenly up to `rate`, as `torch.linspace` computes it in f32. */
export function dropPathRates(rate: number, blocks: number): Float32Array {
  const end = Math.fround(rate);
  const step = Math.fround(end / Math.max(1, blocks - 1));
  const half = Math.max(1, Math.floor(blocks / 2));
  return Float32Array.from({ length: blocks }, (_, block) =>
    block < half ? step * block : end - Math.fround(step * (blocks - block - 1)),
  );
}

/** The rule for one branch of a batch. @param rate - probability of a sample to lose the branch */
export function dropPathRule(batch: number, rate: number, count: DropPathCount): DropPathRule {
  if (rate === 0) return { rule: "none", kept: batch, scale: 1 };
  const floor = Math.floor(batch * (1 - rate));
  if (count === "as-published" && 1 - rate - floor / batch > largestDistance)
    return { rule: "per sample", kept: floor, scale: 1 / (1 - rate) };
  const kept = Math.max(1, floor);
  return { rule: "exact count", kept, scale: batch / kept };
}

/** Drop path of a training: which factor each sample's branches get in each update. */
export class DropPath {
  /** Blocks that may drop, in order; two rows of the table each. */
  readonly #blocks: readonly number[];
  readonly #rates: Float32Array;

  constructor(
    rate: number,
    blocks: number,
    readonly batch: number,
    readonly count: DropPathCount,
  ) {
    this.#rates = dropPathRates(rate, blocks);
    this.#blocks = [...this.#rates.keys()].filter((block) => (this.#rates[block] ?? 0) > 0);
  }

  /** Rows of the table: two branches of each block that may drop. */
  get rows(): number {
    return 2 * this.#blocks.length;
  }

  /**
   * Factors of an update, `[rows, batch]`: drawn for the batch as a whole, each branch of each block by itself.
   *
   * @param order - place in the batch of each column
   */
  draw({ seed, step }: { readonly seed: number; readonly step: number }, order: Uint32Array): Float32Array {
    const table = new Float32Array(this.rows * this.batch);
    this.#blocks.forEach((block, i) => {
      for (const [branch, name] of ["attention", "mlp"].entries()) {
        const key = { seed, step, purpose: `drop path ${block} ${name}` };
        const factors = this.#factors(this.#rates[block] ?? 0, key);
        order.forEach((place, column) => {
          table[(2 * i + branch) * this.batch + column] = factors[place] ?? 0;
        });
      }
    });
    return table;
  }

  #factors(
    rate: number,
    key: { readonly seed: number; readonly step: number; readonly purpose: string },
  ): Float32Array {
    const { rule, kept, scale } = dropPathRule(this.batch, rate, this.count);
    if (rule === "per sample") return hostUniform(this.batch, key).map((draw) => (draw < 1 - rate ? scale : 0));
    const ranks = hostPermutation(this.batch, key);
    return Float32Array.from(ranks, (rank) => (rank < kept ? scale : 0));
  }

  /** Where blocks find their factors in a table `[rows, samples]`; undefined where nothing is dropped. */
  keep(table: Tensor | undefined, blocks: number): readonly (BranchKeep | undefined)[] | undefined {
    if (!table) return undefined;
    const at = (row: number): SampleFactors => ({ table, row });
    return Array.from({ length: blocks }, (_, block) => {
      const place = this.#blocks.indexOf(block);
      return place < 0 ? undefined : { attention: at(2 * place), mlp: at(2 * place + 1) };
    });
  }
}

/** Columns `first … first + count - 1` of a table of `columns`. */
export function tableColumns(table: Float32Array, columns: number, first: number, count: number): Float32Array {
  const rows = table.length / columns;
  const part = new Float32Array(rows * count);
  for (let row = 0; row < rows; row++)
    part.set(table.subarray(row * columns + first, row * columns + first + count), row * count);
  return part;
}
