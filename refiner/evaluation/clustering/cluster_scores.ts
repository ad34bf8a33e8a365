import type { Device } from "../../../engine/index.ts";
import type { FeatureMatrix } from "../core/feature_matrix.ts";
import { adjustedMutualInformation, adjustedRandIndex, normalisedMutualInformation } from "../statistics/agreement.ts";
import { contingency } from "../statistics/contingency.ts";
import { matchingAccuracy } from "../statistics/matching.ts";
import { calinskiHarabasz, daviesBouldin } from "../statistics/separation.ts";
import { type DeviceSilhouetteOptions, silhouetteSamplesOnDevice } from "./silhouette_device.ts";

/** How well clusters agree with classes. */
export interface ClusterAgreement {
  /** Under the best one-to-one matching of clusters to classes. */
  readonly accuracy: number;
  readonly nmi: number;
  readonly ami: number;
  readonly ari: number;
  /** Class of each cluster under that matching, -1 for none. */
  readonly classOfCluster: Int32Array;
}

/** How far groups stand apart; undefined for one group, or where every row is a group of its own. */
export interface GroupSeparation {
  readonly silhouette: number | undefined;
  readonly daviesBouldin: number | undefined;
  readonly calinskiHarabasz: number | undefined;
}

/** Over the rows that have a label. @throws EvaluationError if none has */
export function clusterAgreement(assignment: ArrayLike<number>, labels: ArrayLike<number>): ClusterAgreement {
  const rows = Array.from({ length: labels.length }, (_, row) => row).filter((row) => (labels[row] ?? -1) >= 0);
  const table = contingency(
    rows.map((row) => assignment[row] ?? 0),
    rows.map((row) => labels[row] ?? 0),
  );
  return {
    ...matchingAccuracy(table),
    nmi: normalisedMutualInformation(table),
    ami: adjustedMutualInformation(table),
    ari: adjustedRandIndex(table),
  };
}

/**
 * Silhouette (distances on the device), Davies–Bouldin and Caliński–Harabasz index of groups, such as clusters or classes. Rows without
 * a group (-1) are left out.
 */
export async function groupSeparation(
  device: Device,
  x: FeatureMatrix,
  groups: ArrayLike<number>,
  options: DeviceSilhouetteOptions = {},
): Promise<GroupSeparation> {
  const { features, labels } = grouped(x, groups);
  const used = new Set(Array.from(labels)).size;
  if (used < 2 || used >= features.rows)
    return { silhouette: undefined, daviesBouldin: undefined, calinskiHarabasz: undefined };
  const samples = await silhouetteSamplesOnDevice(device, features, labels, options);
  return {
    silhouette: samples.reduce((sum, value) => sum + value, 0) / features.rows,
    daviesBouldin: daviesBouldin(features, labels),
    calinskiHarabasz: calinskiHarabasz(features, labels),
  };
}

function grouped(x: FeatureMatrix, groups: ArrayLike<number>): { features: FeatureMatrix; labels: ArrayLike<number> } {
  const rows = Array.from({ length: x.rows }, (_, row) => row).filter((row) => (groups[row] ?? -1) >= 0);
  if (rows.length === x.rows) return { features: x, labels: groups };
  const data = new Float32Array(rows.length * x.columns);
  rows.forEach((row, place) => {
    data.set(x.data.subarray(row * x.columns, (row + 1) * x.columns), place * x.columns);
  });
  const features = { rows: rows.length, columns: x.columns, data };
  return { features, labels: Int32Array.from(rows, (row) => groups[row] ?? 0) };
}
