import type { Device } from "../../../engine/index.ts";
import { EvaluationError } from "../core/errors.ts";
import { checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";
import { groupMeans, squaredDistance } from "../statistics/groups.ts";
import { emptyClusters, fillEmptyClusters } from "./empty_clusters.ts";
import { LloydSteps } from "./lloyd_steps.ts";
import { ScaledRows } from "./scaled_rows.ts";
import { rowsOf, seededRows } from "./seeding.ts";

export interface KMeansOptions {
  readonly clusters: number;
  readonly seed: number;
  /** Centroids to begin with, `[clusters, columns]`, instead of drawn ones; there is then one start only. */
  readonly start?: FeatureMatrix;
  /** Starts, of which the one of least inertia is kept; default 10. */
  readonly restarts?: number;
  /** Default 300. */
  readonly maxIterations?: number;
  readonly signal?: AbortSignal;
  /** After each iteration. */
  readonly onIteration?: (restart: number, iteration: number) => void;
}

/** The end of one start. */
export interface KMeansRun {
  /** Nearest centroid of each row. */
  readonly assignment: Int32Array;
  /** Sum of squared distances to the nearest centroid, in float64. */
  readonly inertia: number;
  /** Times that the centroids moved. */
  readonly iterations: number;
  /** Whether the assignment repeated itself. */
  readonly converged: boolean;
}

export interface KMeans extends KMeansRun {
  /** `[clusters, columns]` */
  readonly centroids: FeatureMatrix;
  /** All starts, in the order drawn; the best is this result. */
  readonly runs: readonly KMeansRun[];
}

/** Device memory of a clustering in bytes, by plan. */
export interface KMeansMemory {
  readonly features: number;
  readonly work: number;
  readonly total: number;
}

/**
 * k-means on features that stay on the device: for several numbers of clusters, or from several seeds, without a second upload.
 * Call `destroy` when done.
 */
export class KMeansSearch {
  readonly #rows: ScaledRows;
  #steps: LloydSteps | undefined;

  /** @throws EvaluationError if a number is not finite */
  constructor(
    readonly device: Device,
    readonly features: FeatureMatrix,
  ) {
    checkMatrix("kMeans", features);
    this.#rows = new ScaledRows(device, features);
  }

  /** Of Lloyd's steps with that many clusters; nothing is allocated for it. */
  memory(clusters: number): KMeansMemory {
    const { workBytes } = this.#stepsFor(clusters);
    const features = this.#rows.sizeBytes;
    return { features, work: workBytes, total: features + workBytes };
  }

  /** As {@link kMeans}. */
  async run(options: KMeansOptions): Promise<KMeans> {
    const { features } = this;
    const { clusters, seed, start, restarts = 10 } = options;
    checkClusters(features, clusters);
    if (start) checkStart(features, start, clusters);
    if (!Number.isInteger(restarts) || restarts < 1)
      throw new EvaluationError(`kMeans: ${restarts} restarts; give 1 or more`);
    const steps = this.#stepsFor(clusters);
    if (start) {
      const { centroids, run } = await this.#lloyd(steps, start, options, 0);
      return { ...run, centroids, runs: [run] };
    }
    const drawn = await seededRows(this.#rows, clusters, seed, restarts, options.signal);
    const runs: KMeansRun[] = [];
    let best: (KMeansRun & Pick<KMeans, "centroids">) | undefined;
    for (const [restart, chosen] of drawn.entries()) {
      const { centroids, run } = await this.#lloyd(steps, rowsOf(features, chosen), options, restart);
      runs.push(run);
      if (best === undefined || run.inertia < best.inertia) best = { ...run, centroids };
    }
    if (best === undefined) throw new EvaluationError("kMeans: no start was drawn; give 1 or more restarts");
    return { ...best, runs };
  }

  async #lloyd(
    steps: LloydSteps,
    start: FeatureMatrix,
    { maxIterations = 300, signal, onIteration }: KMeansOptions,
    restart: number,
  ): Promise<{ readonly centroids: FeatureMatrix; readonly run: KMeansRun }> {
    const { features } = this;
    let centroids = start;
    let { assignment, sums } = await steps.assign(centroids);
    let converged = false;
    let iterations = 0;
    while (!converged && iterations < maxIterations) {
      signal?.throwIfAborted();
      const moved = fillEmptyClusters(features, assignment, centroids);
      centroids = steps.means(sums, assignment, moved, centroids);
      const next = await steps.assign(centroids);
      converged = next.assignment.every((cluster, row) => cluster === assignment[row]);
      ({ assignment, sums } = next);
      iterations++;
      onIteration?.(restart, iterations);
    }
    // Means of a final assignment can be had in float64.
    if (converged && emptyClusters(assignment, centroids.rows).length === 0)
      centroids = groupMeans(features, assignment, centroids.rows);
    let inertia = 0;
    for (let row = 0; row < features.rows; row++)
      inertia += squaredDistance(features, row, centroids, assignment[row] ?? 0);
    return { centroids, run: { assignment, inertia, iterations, converged } };
  }

  #stepsFor(clusters: number): LloydSteps {
    if (this.#steps?.clusters === clusters) return this.#steps;
    this.#steps?.destroy();
    this.#steps = new LloydSteps(this.#rows, clusters);
    return this.#steps;
  }

  /** Frees the memory on the device. */
  destroy(): void {
    this.#steps?.destroy();
    this.#rows.destroy();
  }
}

/**
 * k-means on the device: Lloyd's iterations until no row changes its cluster, from centroids drawn by k-means++ (Arthur and
 * Vassilvitskii, 2007). A row belongs to the nearest centroid, the first of equals; an empty cluster takes over the row farthest
 * from its own centroid (`fillEmptyClusters`). Depends on its arguments and the adapter only. Memory on the device is that of the
 * features, of the centroids and their sums, and of one chunk of rows.
 *
 * @throws EvaluationError if fewer rows differ than clusters are wanted, or a number is not finite
 */
export async function kMeans(device: Device, x: FeatureMatrix, options: KMeansOptions): Promise<KMeans> {
  checkMatrix("kMeans", x);
  checkClusters(x, options.clusters);
  const search = new KMeansSearch(device, x);
  try {
    return await search.run(options);
  } finally {
    search.destroy();
  }
}

function checkClusters(x: FeatureMatrix, clusters: number): void {
  if (!Number.isInteger(clusters) || clusters < 1 || clusters > x.rows) {
    throw new EvaluationError(`kMeans: ${clusters} clusters for ${x.rows} rows; give 1 … ${x.rows}`);
  }
  const distinct = distinctRows(x, clusters);
  if (distinct < clusters) {
    throw new EvaluationError(
      `kMeans: ${clusters} clusters for ${x.rows} rows of which only ${distinct} differ; give at most ${distinct}`,
    );
  }
}

function checkStart(x: FeatureMatrix, start: FeatureMatrix, clusters: number): void {
  checkMatrix("kMeans", start, "start");
  if (start.rows !== clusters || start.columns !== x.columns) {
    throw new EvaluationError(
      `kMeans: start of ${start.rows} × ${start.columns}; give ${clusters} centroids of width ${x.columns}`,
    );
  }
}

/** How many rows differ from each other, counted up to `enough`. */
function distinctRows({ data, columns, rows }: FeatureMatrix, enough: number): number {
  const seen = new Set<string>();
  for (let row = 0; row < rows && seen.size < enough; row++) {
    seen.add(
      data
        .subarray(row * columns, (row + 1) * columns)
        .map((value) => value + 0) // -0 and 0 are equal
        .join(),
    );
  }
  return seen.size;
}
