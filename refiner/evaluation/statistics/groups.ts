import { EvaluationError } from "../core/errors.ts";
import { checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";

/** Squared Euclidean distance between two rows, summed in float64. */
export function squaredDistance(x: FeatureMatrix, row: number, y: FeatureMatrix, other: number): number {
  const { columns } = x;
  const from = row * columns;
  const to = other * columns;
  let sum = 0;
  for (let column = 0; column < columns; column++) {
    const difference = (x.data[from + column] ?? 0) - (y.data[to + column] ?? 0);
    sum += difference * difference;
  }
  return sum;
}

/**
 * Mean row of each group, `[groups, columns]`; zeros for a group without rows.
 *
 * @param labels - group of each row, 0 … groups - 1
 */
export function groupMeans(x: FeatureMatrix, labels: ArrayLike<number>, groups: number): FeatureMatrix {
  const { rows, columns } = x;
  const data = new Float64Array(groups * columns);
  const sizes = new Float64Array(groups);
  for (let row = 0; row < rows; row++) {
    const group = labels[row] ?? 0;
    sizes[group] = (sizes[group] ?? 0) + 1;
    for (let column = 0; column < columns; column++) {
      data[group * columns + column] = (data[group * columns + column] ?? 0) + (x.data[row * columns + column] ?? 0);
    }
  }
  return {
    rows: groups,
    columns,
    data: data.map((sum, at) => sum / Math.max(sizes[Math.floor(at / columns)] ?? 0, 1)),
  };
}

/**
 * Nearest centroid (the first of equals) and squared distance to it, for each row, in float64: what k-means on the device is
 * measured against.
 *
 * @throws EvaluationError if the widths differ, or a number is not finite
 */
export function nearestCentroids(x: FeatureMatrix, centroids: FeatureMatrix) {
  checkMatrix("nearestCentroids", x);
  checkMatrix("nearestCentroids", centroids, "centroids");
  if (x.columns !== centroids.columns) {
    throw new EvaluationError(
      `nearestCentroids: features of width ${x.columns} for centroids of width ${centroids.columns}; take both from the same block`,
    );
  }
  const assignment = new Int32Array(x.rows);
  const distances = new Float64Array(x.rows).fill(Number.MAX_VALUE);
  for (let row = 0; row < x.rows; row++) {
    for (let cluster = 0; cluster < centroids.rows; cluster++) {
      const distance = squaredDistance(x, row, centroids, cluster);
      if (distance >= (distances[row] ?? 0)) continue;
      distances[row] = distance;
      assignment[row] = cluster;
    }
  }
  return { assignment, distances };
}
