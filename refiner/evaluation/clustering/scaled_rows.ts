import type { Device } from "../../../engine/index.ts";
import type { FeatureMatrix } from "../core/feature_matrix.ts";
import { ResidentRows } from "../resident/resident_rows.ts";

/** Rows that the search sees at a time: enough for a large GPU. */
const partRows = 16384;

/**
 * Features as k-means has them on the device: minus their mean and scaled by a power of two so that no entry is above 1, which changes
 * no assignment and lets float32 keep small distances; and with a column of ones, so that the dot product with
 * `(c, -|c|²/2)` is largest for the nearest centroid c.
 */
export class ScaledRows {
  readonly resident: ResidentRows;
  /** Squared lengths of the scaled rows. */
  readonly squares: Float64Array;
  readonly #mean: Float64Array;
  readonly #scale: number;

  constructor(
    readonly device: Device,
    readonly features: FeatureMatrix,
  ) {
    const { rows, columns, data } = features;
    this.#mean = meanOf(features);
    let largest = 0;
    for (let at = 0; at < data.length; at++)
      largest = Math.max(largest, Math.abs((data[at] ?? 0) - (this.#mean[at % columns] ?? 0)));
    this.#scale = largest > 0 ? 2 ** -Math.ceil(Math.log2(largest)) : 1;
    this.squares = new Float64Array(rows);
    this.resident = new ResidentRows(device, {
      rows,
      width: this.width,
      partRows,
      name: "features",
      fill: (row, into) => {
        this.fillRow(features, row, into);
        this.squares[row] = this.#squares(into);
        into[columns] = 1;
      },
    });
  }

  get width(): number {
    return this.features.columns + 1;
  }

  get sizeBytes(): number {
    return this.resident.sizeBytes;
  }

  /** Writes the scaled values of a row of any matrix of the features' width. */
  fillRow(x: FeatureMatrix, row: number, into: Float32Array): void {
    const { columns } = x;
    for (let column = 0; column < columns; column++)
      into[column] = ((x.data[row * columns + column] ?? 0) - (this.#mean[column] ?? 0)) * this.#scale;
  }

  /** `(c, -|c|²/2)` for each centroid, `[centroids, width]`. */
  asBank(centroids: FeatureMatrix): Float32Array {
    const { width } = this;
    const bank = new Float32Array(centroids.rows * width);
    for (let row = 0; row < centroids.rows; row++) {
      const values = bank.subarray(row * width, (row + 1) * width);
      this.fillRow(centroids, row, values);
      values[width - 1] = -this.#squares(values) / 2;
    }
    return bank;
  }

  /** A mean of scaled rows in the unit of the features. */
  unscaled(sum: ArrayLike<number>, count: number, into: Float64Array): void {
    for (let column = 0; column < into.length; column++)
      into[column] = (sum[column] ?? 0) / count / this.#scale + (this.#mean[column] ?? 0);
  }

  #squares(values: Float32Array): number {
    let sum = 0;
    for (let column = 0; column < this.features.columns; column++) sum += (values[column] ?? 0) ** 2;
    return sum;
  }

  destroy(): void {
    this.resident.destroy();
  }
}

function meanOf({ rows, columns, data }: FeatureMatrix): Float64Array {
  const mean = new Float64Array(columns);
  for (let at = 0; at < data.length; at++) mean[at % columns] = (mean[at % columns] ?? 0) + (data[at] ?? 0) / rows;
  return mean;
}
