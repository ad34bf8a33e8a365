import { EvaluationError } from "../core/errors.ts";
import { checkLabels, classCount } from "../core/feature_matrix.ts";

/** How often each cluster meets each class, `counts[cluster * classes + class]`. */
export interface Contingency {
  readonly clusters: number;
  readonly classes: number;
  readonly total: number;
  readonly counts: Float64Array;
  /** Sums over classes and over clusters. */
  readonly clusterSizes: Float64Array;
  readonly classSizes: Float64Array;
}

/** 2 GiB. */
const mostCells = 2 ** 28;

/**
 * @param clusters - cluster of each sample, from 0
 * @param labels - class of each sample, from 0
 * @throws EvaluationError if there is no sample, the lengths differ, or a value is no label
 */
export function contingency(clusters: ArrayLike<number>, labels: ArrayLike<number>): Contingency {
  if (labels.length === 0) throw new EvaluationError("contingency: there are no samples; give at least one");
  checkLabels("contingency", clusters, labels.length);
  checkLabels("contingency", labels, labels.length);
  const rows = classCount(clusters);
  const columns = classCount(labels);
  if (rows * columns > mostCells)
    throw new EvaluationError(
      `contingency: a table of ${rows} clusters and ${columns} classes has more than ${mostCells} cells; give fewer, numbered from 0 without gaps`,
    );
  const counts = new Float64Array(rows * columns);
  const clusterSizes = new Float64Array(rows);
  const classSizes = new Float64Array(columns);
  for (let sample = 0; sample < labels.length; sample++) {
    const row = clusters[sample] ?? 0;
    const column = labels[sample] ?? 0;
    counts[row * columns + column] = (counts[row * columns + column] ?? 0) + 1;
    clusterSizes[row] = (clusterSizes[row] ?? 0) + 1;
    classSizes[column] = (classSizes[column] ?? 0) + 1;
  }
  return { clusters: rows, classes: columns, total: labels.length, counts, clusterSizes, classSizes };
}
