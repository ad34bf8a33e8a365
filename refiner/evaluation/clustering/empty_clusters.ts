import type { FeatureMatrix } from "../core/feature_matrix.ts";
import { squaredDistance } from "../statistics/groups.ts";

/** A row that leaves its cluster for an empty one. */
export interface Moved {
  readonly row: number;
  readonly from: number;
  readonly to: number;
}

/**
 * Rows that empty clusters take over: those farthest from their own centroid, the farthest for the first empty cluster; of equal
 * distances the first row. As scikit-learn does (`_relocate_empty_clusters`), which leaves the order of several to chance. A row at its
 * centroid gains nothing and stays. Changes `assignment`.
 */
export function fillEmptyClusters(x: FeatureMatrix, assignment: Int32Array, centroids: FeatureMatrix): Moved[] {
  const empty = emptyClusters(assignment, centroids.rows);
  if (empty.length === 0) return [];
  const rows = Array.from({ length: x.rows }, (_, row) => ({
    row,
    distance: squaredDistance(x, row, centroids, assignment[row] ?? 0),
  }));
  const farthest = rows.filter(({ distance }) => distance > 0).sort((a, b) => b.distance - a.distance || a.row - b.row);
  return empty.flatMap((to, place) => {
    const row = farthest[place]?.row;
    if (row === undefined) return [];
    const from = assignment[row] ?? 0;
    assignment[row] = to;
    return [{ row, from, to }];
  });
}

/** Clusters without rows, in ascending order. */
export function emptyClusters(assignment: Int32Array, clusters: number): number[] {
  const used = new Set(assignment);
  return Array.from({ length: clusters }, (_, cluster) => cluster).filter((cluster) => !used.has(cluster));
}
