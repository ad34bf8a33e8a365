import { EvaluationError } from "../core/errors.ts";
import { checkLabels, checkMatrix, classCount, type FeatureMatrix } from "../core/feature_matrix.ts";
import { groupMeans, squaredDistance } from "./groups.ts";
import { unitRows } from "./standardise.ts";

/**
 * Silhouette of each sample: `(b - a) / max(a, b)` with `a` its mean distance to its own group and `b` the least mean
 * distance to another (Rousseeuw, Silhouettes, 1987); 0 for a sample alone in its group. Time grows with rows²,
 * memory does not.
 *
 * @param labels - group of each row, from 0; numbers may be left out
 * @returns `[rows]`, each -1 … 1
 * @throws EvaluationError unless there are at least 2 groups and fewer groups than rows
 */
export function silhouetteSamples(
  x: FeatureMatrix,
  labels: ArrayLike<number>,
  metric: "euclidean" | "cosine" = "euclidean",
): Float64Array {
  const { sizes } = checkGroups("silhouette", x, labels);
  const points = metric === "cosine" ? unitRows({ ...x, data: Float64Array.from(x.data) }) : x;
  const sums = new Float64Array(sizes.length);
  return Float64Array.from({ length: x.rows }, (_, row) => {
    const own = labels[row] ?? 0;
    sums.fill(0);
    for (let other = 0; other < x.rows; other++) {
      const squared = squaredDistance(points, row, points, other);
      // For unit rows |a - b|² = 2 - 2 cos, so half of it is the cosine distance.
      const distance = metric === "cosine" ? squared / 2 : Math.sqrt(squared);
      const group = labels[other] ?? 0;
      sums[group] = (sums[group] ?? 0) + distance;
    }
    return silhouetteOf(sums, sizes, own);
  });
}

/**
 * Silhouette of a sample of group `own`.
 *
 * @param sums - of its distances to the samples of each group
 * @param sizes - of the groups
 */
export function silhouetteOf(sums: Float64Array, sizes: Float64Array, own: number): number {
  if (sizes[own] === 1) return 0;
  const within = (sums[own] ?? 0) / ((sizes[own] ?? 0) - 1);
  let between = Number.MAX_VALUE;
  sizes.forEach((size, group) => {
    if (group !== own && size > 0) between = Math.min(between, (sums[group] ?? 0) / size);
  });
  const scale = Math.max(within, between);
  return scale === 0 ? 0 : (between - within) / scale;
}

/** Mean silhouette over all samples. @throws EvaluationError as `silhouetteSamples` */
export function silhouette(x: FeatureMatrix, labels: ArrayLike<number>, metric?: "euclidean" | "cosine"): number {
  return silhouetteSamples(x, labels, metric).reduce((sum, value) => sum + value, 0) / x.rows;
}

/**
 * Variance between groups over variance within them, each per degree of freedom (Caliński and Harabasz, 1974).
 * 1 if all groups are single points of no spread.
 *
 * @throws EvaluationError unless there are at least 2 groups and fewer groups than rows
 */
export function calinskiHarabasz(x: FeatureMatrix, labels: ArrayLike<number>): number {
  const { sizes, used } = checkGroups("calinskiHarabasz", x, labels);
  const means = groupMeans(x, labels, sizes.length);
  const centre = groupMeans(x, new Uint8Array(x.rows), 1);
  let between = 0;
  sizes.forEach((size, group) => {
    if (size > 0) between += size * squaredDistance(means, group, centre, 0);
  });
  let within = 0;
  for (let row = 0; row < x.rows; row++) within += squaredDistance(x, row, means, labels[row] ?? 0);
  return within === 0 ? 1 : (between * (x.rows - used)) / (within * (used - 1));
}

/**
 * Mean over groups of the worst ratio of spread to distance with another group (Davies and Bouldin, 1979); lower is
 * better.
 *
 * @throws EvaluationError unless there are at least 2 groups and fewer groups than rows
 */
export function daviesBouldin(x: FeatureMatrix, labels: ArrayLike<number>): number {
  const { sizes, used } = checkGroups("daviesBouldin", x, labels);
  const means = groupMeans(x, labels, sizes.length);
  const spread = new Float64Array(sizes.length);
  for (let row = 0; row < x.rows; row++) {
    const group = labels[row] ?? 0;
    spread[group] = (spread[group] ?? 0) + Math.sqrt(squaredDistance(x, row, means, group)) / (sizes[group] ?? 1);
  }
  const worstRatio = (group: number): number => {
    let worst = 0;
    for (let other = 0; other < sizes.length; other++) {
      if (other === group || sizes[other] === 0) continue;
      const distance = Math.sqrt(squaredDistance(means, group, means, other));
      if (distance > 0) worst = Math.max(worst, ((spread[group] ?? 0) + (spread[other] ?? 0)) / distance);
    }
    return worst;
  };
  return sizes.reduce((sum, size, group) => (size === 0 ? sum : sum + worstRatio(group)), 0) / used;
}

/** Sizes of the groups by label, and how many have rows. @throws EvaluationError */
export function checkGroups(operation: string, x: FeatureMatrix, labels: ArrayLike<number>) {
  checkMatrix(operation, x);
  checkLabels(operation, labels, x.rows);
  const sizes = new Float64Array(classCount(labels));
  for (let row = 0; row < x.rows; row++) sizes[labels[row] ?? 0] = (sizes[labels[row] ?? 0] ?? 0) + 1;
  const used = sizes.filter((size) => size > 0).length;
  if (used < 2 || used >= x.rows) {
    throw new EvaluationError(
      `${operation}: ${used} groups of ${x.rows} rows; it is defined for 2 to ${x.rows - 1} groups, so group them otherwise`,
    );
  }
  return { sizes, used };
}
