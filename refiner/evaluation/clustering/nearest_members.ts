import { EvaluationError } from "../core/errors.ts";
import { checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";
import { squaredDistance } from "../statistics/groups.ts";
import type { KMeans } from "./kmeans.ts";

/**
 * The rows of each cluster that lie nearest to its centre, nearest first (of equals the first row): what a cluster is about.
 *
 * @param x - what was clustered, `[rows, columns]`
 * @param count - rows of a cluster at most
 * @returns rows per cluster; fewer than `count` where it has no more
 * @throws EvaluationError if a number of the features or centres is not finite, or the centres have another width
 */
export function nearestMembers(
  x: FeatureMatrix,
  { centroids, assignment }: Pick<KMeans, "centroids" | "assignment">,
  count: number,
): Uint32Array[] {
  checkMatrix("nearestMembers", x);
  checkMatrix("nearestMembers", centroids, "centres");
  if (centroids.columns !== x.columns || assignment.length !== x.rows)
    throw new EvaluationError(
      `nearestMembers: ${assignment.length} rows were clustered around centres of width ${centroids.columns}; the features are [${x.rows}, ${x.columns}]: give those that were clustered`,
    );
  const members = Array.from({ length: centroids.rows }, (): { row: number; distance: number }[] => []);
  for (let row = 0; row < x.rows; row++) {
    const cluster = assignment[row] ?? 0;
    members[cluster]?.push({ row, distance: squaredDistance(x, row, centroids, cluster) });
  }
  return members.map((rows) =>
    Uint32Array.from(
      rows
        .sort((a, b) => a.distance - b.distance || a.row - b.row)
        .slice(0, count)
        .map(({ row }) => row),
    ),
  );
}
