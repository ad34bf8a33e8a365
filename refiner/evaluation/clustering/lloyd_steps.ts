import {
  add,
  nearest,
  type RecordedProgram,
  recordProgram,
  reshape,
  rows,
  scatterAdd,
  type Tensor,
} from "../../../engine/index.ts";
import type { FeatureMatrix } from "../core/feature_matrix.ts";
import type { Moved } from "./empty_clusters.ts";
import type { ScaledRows } from "./scaled_rows.ts";

/** Rows that are added one after the other; their sums are added to those before, so that rounding does not grow with all rows. */
const summedRows = 2048;

/** Where rows belong, and what they add up to. */
export interface Assigned {
  /** Nearest centroid of each row. */
  readonly assignment: Int32Array;
  /** Sums of the scaled rows of each cluster, `[clusters, width]`. */
  readonly sums: ArrayLike<number>;
}

/** Lloyd's steps as one program: nearest centroids of all rows, and the sums of the rows of each. */
export class LloydSteps {
  readonly #program: RecordedProgram<Record<string, Tensor>>;

  constructor(
    readonly data: ScaledRows,
    readonly clusters: number,
  ) {
    const { device, resident, width } = data;
    this.#program = recordProgram<Record<string, Tensor>>(
      device,
      (p) => {
        const centroids = p.input("centroids", [clusters, width]);
        const outputs: Record<string, Tensor> = {};
        let sums: Tensor | undefined;
        for (const { firstRow, count, rows: part } of resident.parts) {
          const { indices } = nearest(part, centroids, { k: 1, metric: "dot" });
          const assigned = reshape(indices, [count]);
          outputs[`rows ${firstRow}`] = assigned;
          for (let from = 0; from < count; from += summedRows) {
            const to = Math.min(count, from + summedRows);
            const some = scatterAdd(rows(assigned, from, to), rows(part, from, to), clusters);
            sums = sums ? add(sums, some) : some;
          }
        }
        if (sums) outputs.sums = sums;
        return outputs;
      },
      { name: "k-means", inference: true },
    );
  }

  /** Bytes on the device beside the features, by plan. */
  get workBytes(): number {
    const { plannedPeakBytes, inputBytes } = this.#program.stats;
    return plannedPeakBytes + inputBytes;
  }

  async assign(centroids: FeatureMatrix): Promise<Assigned> {
    const names = Object.keys(this.#program.outputs);
    const found = await (await this.#program.run({ centroids: this.data.asBank(centroids) }, names)).read();
    const assignment = new Int32Array(this.data.features.rows);
    for (const { firstRow } of this.data.resident.parts) assignment.set(found[`rows ${firstRow}`] ?? [], firstRow);
    return { assignment, sums: found.sums ?? [] };
  }

  /**
   * Means of the clusters in float64. A cluster whose only row moved to an empty one keeps its centroid.
   *
   * @param assignment - with the moves done
   * @param moved - rows whose sums stand where they came from
   */
  means(
    sums: ArrayLike<number>,
    assignment: Int32Array,
    moved: readonly Moved[],
    centroids: FeatureMatrix,
  ): FeatureMatrix {
    const { data } = this;
    const { columns } = centroids;
    const { width } = data;
    const counts = new Float64Array(this.clusters);
    for (const cluster of assignment) counts[cluster] = (counts[cluster] ?? 0) + 1;
    const totals = Float64Array.from(sums);
    const values = new Float32Array(width);
    for (const { row, from, to } of moved) {
      data.fillRow(data.features, row, values);
      for (let column = 0; column < columns; column++) {
        totals[from * width + column] = (totals[from * width + column] ?? 0) - (values[column] ?? 0);
        totals[to * width + column] = (totals[to * width + column] ?? 0) + (values[column] ?? 0);
      }
    }
    const means = Float64Array.from(centroids.data);
    counts.forEach((count, cluster) => {
      if (count === 0) return;
      const mean = means.subarray(cluster * columns, (cluster + 1) * columns);
      data.unscaled(totals.subarray(cluster * width, (cluster + 1) * width), count, mean);
    });
    return { rows: this.clusters, columns, data: means };
  }

  destroy(): void {
    this.#program.destroy();
  }
}
