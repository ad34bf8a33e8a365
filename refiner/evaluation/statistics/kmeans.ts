import { RandomStream } from "../../data/batches/shuffle_random.ts";
import { EvaluationError } from "../core/errors.ts";
import { checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";
import { groupMeans, squaredDistance } from "./groups.ts";

export interface KMeansOptions {
  readonly clusters: number;
  readonly seed: number;
  /** Centroids to begin with, `[clusters, columns]`, instead of drawn ones; there is then one start only. */
  readonly start?: FeatureMatrix;
  /** Starts, of which the one of least inertia is kept. */
  readonly restarts?: number;
  readonly maxIterations?: number;
}

export interface KMeans {
  /** `[clusters, columns]` */
  readonly centroids: FeatureMatrix;
  /** Nearest centroid of each row. */
  readonly assignment: Int32Array;
  /** Sum of squared distances to the nearest centroid. */
  readonly inertia: number;
  readonly iterations: number;
}

/**
 * k-means: Lloyd's iterations until no row changes its cluster, from centroids drawn by k-means++ (Arthur and
 * Vassilvitskii, 2007). Depends on its arguments only.
 *
 * @throws EvaluationError if fewer rows differ than clusters are wanted, or a number is not finite
 */
export function kMeans(x: FeatureMatrix, options: KMeansOptions): KMeans {
  checkMatrix("kMeans", x);
  const { clusters, seed, restarts = 10, maxIterations = 300 } = options;
  if (!Number.isInteger(clusters) || clusters < 1 || clusters > x.rows) {
    throw new EvaluationError(`kMeans: ${clusters} clusters for ${x.rows} rows; give 1 … ${x.rows}`);
  }
  const distinct = distinctRows(x, clusters);
  if (distinct < clusters) {
    throw new EvaluationError(
      `kMeans: ${clusters} clusters for ${x.rows} rows of which only ${distinct} differ; give at most ${distinct}`,
    );
  }
  if (options.start) {
    checkMatrix("kMeans", options.start, "start");
    if (options.start.rows !== clusters || options.start.columns !== x.columns) {
      throw new EvaluationError(
        `kMeans: start of ${options.start.rows} × ${options.start.columns}; give ${clusters} centroids of width ${x.columns}`,
      );
    }
    return lloyd(x, options.start, maxIterations);
  }
  let best: KMeans | undefined;
  for (let restart = 0; restart < restarts; restart++) {
    const found = lloyd(x, seedCentroids(x, clusters, new RandomStream(seed, "k-means", restart)), maxIterations);
    if (best === undefined || found.inertia < best.inertia) best = found;
  }
  if (best === undefined) throw new EvaluationError(`kMeans: ${restarts} restarts; give 1 or more`);
  return best;
}

/** How many rows differ from each other, counted up to `enough`. */
function distinctRows({ data, columns, rows }: FeatureMatrix, enough: number): number {
  const seen = new Set<string>();
  for (let row = 0; row < rows && seen.size < enough; row++) {
    seen.add(
      data
        .subarray(row * columns, (row + 1) * columns)
        .map((value) => value + 0)
        .join(),
    );
  }
  return seen.size;
}

/**
 * Nearest centroid (the first of equals) and squared distance to it, for each row.
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
  return assign(x, centroids);
}

function assign(x: FeatureMatrix, centroids: FeatureMatrix) {
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

function lloyd(x: FeatureMatrix, start: FeatureMatrix, maxIterations: number): KMeans {
  let centroids = start;
  let { assignment, distances } = assign(x, centroids);
  let iterations = 0;
  for (let changed = true; changed && iterations < maxIterations; iterations++) {
    reviveEmpty(assignment, distances, centroids.rows);
    centroids = groupMeans(x, assignment, centroids.rows);
    const next = assign(x, centroids);
    changed = next.assignment.some((cluster, row) => cluster !== assignment[row]);
    ({ assignment, distances } = next);
  }
  return { centroids, assignment, inertia: distances.reduce((sum, value) => sum + value, 0), iterations };
}

// A cluster that lost its rows takes the row farthest from its centroid, or its mean would be undefined.
function reviveEmpty(assignment: Int32Array, distances: Float64Array, clusters: number): void {
  const sizes = new Float64Array(clusters);
  for (const cluster of assignment) sizes[cluster] = (sizes[cluster] ?? 0) + 1;
  for (let cluster = 0; cluster < clusters; cluster++) {
    if (sizes[cluster] !== 0) continue;
    let farthest = -1;
    distances.forEach((distance, row) => {
      const shared = (sizes[assignment[row] ?? 0] ?? 0) > 1;
      if (shared && distance > (distances[farthest] ?? 0)) farthest = row; // a row at its centroid would gain nothing
    });
    if (farthest < 0) return;
    const left = assignment[farthest] ?? 0;
    sizes[left] = (sizes[left] ?? 0) - 1;
    sizes[cluster] = 1;
    assignment[farthest] = cluster;
    distances[farthest] = 0;
  }
}

// k-means++: each further centroid is a row drawn in proportion to its squared distance from those before.
function seedCentroids(x: FeatureMatrix, clusters: number, random: RandomStream): FeatureMatrix {
  const { rows, columns } = x;
  const data = new Float64Array(clusters * columns);
  const centroids = { rows: clusters, columns, data };
  const distances = new Float64Array(rows).fill(Number.MAX_VALUE);
  let chosen = random.below(rows);
  for (let cluster = 0; cluster < clusters; cluster++) {
    data.set(x.data.subarray(chosen * columns, (chosen + 1) * columns), cluster * columns);
    let total = 0;
    for (let row = 0; row < rows; row++) {
      distances[row] = Math.min(distances[row] ?? 0, squaredDistance(x, row, centroids, cluster));
      total += distances[row] ?? 0;
    }
    chosen = total === 0 ? random.below(rows) : drawnInProportion(distances, random.unit() * total);
  }
  return centroids;
}

function drawnInProportion(weights: Float64Array, place: number): number {
  let passed = 0;
  for (let row = 0; row < weights.length; row++) {
    passed += weights[row] ?? 0;
    if (place < passed) return row;
  }
  return weights.length - 1; // rounding of the last sum
}
