import type { Device } from "../../../engine/index.ts";
import type { FeatureMatrix } from "../core/feature_matrix.ts";
import { groupSeparation } from "./cluster_scores.ts";
import { type KMeansOptions, KMeansSearch } from "./kmeans.ts";

/** What a number of clusters leads to, without any label. */
export interface ClusterCurvePoint {
  readonly clusters: number;
  /** Falls with the number of clusters; where it stops falling fast (the "elbow") further clusters divide what belongs together. */
  readonly inertia: number;
  /** Highest where clusters are dense and apart; undefined for one cluster. */
  readonly silhouette: number | undefined;
}

/**
 * Inertia and silhouette for several numbers of clusters: how many groups unlabelled images fall into.
 *
 * @param counts - numbers of clusters
 * @throws EvaluationError as `kMeans`, for the first number that the features do not allow
 */
export async function clusterCurve(
  device: Device,
  x: FeatureMatrix,
  counts: readonly number[],
  options: Omit<KMeansOptions, "clusters" | "start"> & { readonly onPoint?: (point: ClusterCurvePoint) => void },
): Promise<ClusterCurvePoint[]> {
  const search = new KMeansSearch(device, x);
  const points: ClusterCurvePoint[] = [];
  try {
    for (const clusters of counts) {
      const { inertia, assignment } = await search.run({ ...options, clusters });
      const { silhouette } = await groupSeparation(
        device,
        x,
        assignment,
        options.signal ? { signal: options.signal } : {},
      );
      const point = { clusters, inertia, silhouette };
      points.push(point);
      options.onPoint?.(point);
    }
  } finally {
    search.destroy();
  }
  return points;
}
