import { emptyClusters, fillEmptyClusters } from "../../evaluation/clustering/empty_clusters.ts";
import {
  adjustedMutualInformation,
  adjustedRandIndex,
  calinskiHarabasz,
  contingency,
  daviesBouldin,
  entropy,
  expectedMutualInformation,
  type FeatureMatrix,
  groupSeparation,
  KMeansSearch,
  matchingAccuracy,
  mutualInformation,
  nearestCentroids,
  normalisedMutualInformation,
  purity,
  silhouette,
  silhouetteSamples,
  silhouetteSamplesOnDevice,
} from "../../evaluation/index.ts";
import { squaredDistance } from "../../evaluation/statistics/groups.ts";
import { goldenBounds } from "../bounds.ts";
import type { GoldenCase, GoldenCheck } from "../fixture.ts";
import type { Json } from "../json.ts";

/** Lloyd's iterations with and without emptied clusters, and all scores, in float64 and with distances from the device. */
export const clusteringCase: GoldenCheck = {
  run: checkClustering,
  inputs: {
    tensors: /^(x|y|(plain|emptied)\/initial_centres)$/,
    keys: /^(num_classes|num_clusters|edge\.class_with_one_sample\.(sample|new_label))$/,
    remarks: /^note$/,
  },
};

/** Of the published evaluation. */
const bounds = { centres: 1e-5, float64: 1e-9, float32: 2e-5 } as const;
/** Of a difference of two squared distances below 10², each of whose centres may be 1e-5 off. */
const gapBound = 4 * 10 * bounds.centres;

interface Samples {
  readonly x: FeatureMatrix;
  readonly labels: readonly number[];
  readonly clusters: number;
}

async function checkClustering(golden: GoldenCase): Promise<void> {
  const x = await matrix(golden, "x");
  const labels = await golden.integers("y");
  const samples = { x, labels, clusters: golden.json.get("num_clusters").number() };
  golden.json.expect({ num_classes: contingency(labels, labels).classes });
  const runs = golden.json.get("runs");
  for (const name of runs.keys()) await checkRun(golden, runs.get(name), name, samples);
  await checkEdges(golden, golden.json.get("edge"), samples);
  await compareSeparation(golden, golden.json.get("classes"), x, labels);
}

async function checkRun(golden: GoldenCase, stored: Json, name: string, samples: Samples): Promise<void> {
  const { x, clusters } = samples;
  const start = await matrix(golden, `${name}/initial_centres`);
  const first = nearestCentroids(x, start).assignment;
  const atStart = stored.get("clusters_without_samples_at_start");
  golden.add(atStart.path, emptyClusters(first, clusters), atStart.numbers(), goldenBounds.exact);
  const moved = fillEmptyClusters(x, first, start);
  for (const [key, found] of Object.entries({
    samples_taken_over_farthest_first: moved.map(({ row }) => row),
    from_clusters: moved.map(({ from }) => from),
  })) {
    const expected = stored.get(key);
    if (expected.exists) golden.add(expected.path, found, expected.numbers(), goldenBounds.exact);
  }
  const iterations = stored.get("iterations");
  const search = new KMeansSearch(golden.device, x);
  try {
    for (const index of iterations.keys()) {
      const entry = iterations.get(index);
      const maxIterations = Number(index) + 1;
      const run = await search.run({ clusters, seed: 0, start, maxIterations });
      const at = `${name}/iteration.${maxIterations}`;
      await golden.compare(`${at}/centres`, run.centroids.data, bounds.centres);
      await golden.compare(`${at}/labels`, run.assignment, goldenBounds.exact);
      golden.addScalar(entry.get("inertia"), run.inertia, bounds.float32);
      golden.addScalar(entry.get("iterations_run"), run.iterations, goldenBounds.exact);
      const gap = entry.get("smallest_squared_distance_gap");
      golden.addError(gap.path, Math.abs(smallestGap(x, run.centroids) - gap.number()), gapBound);
    }
  } finally {
    search.destroy();
  }
  const last = await golden.integers(`${name}/iteration.${iterations.keys().length}/labels`);
  await checkScores(golden, stored.get("scores_of_last_labels"), name, samples, last);
}

async function checkScores(
  golden: GoldenCase,
  stored: Json,
  name: string,
  { x, labels }: Samples,
  assignment: readonly number[],
): Promise<void> {
  const table = contingency(assignment, labels);
  const [side = 0] = golden.shape(`${name}/contingency`);
  const square = Array.from({ length: side * side }, (_, at) => {
    const [cluster, label] = [Math.floor(at / side), at % side];
    return label < table.classes && cluster < table.clusters ? (table.counts[cluster * table.classes + label] ?? 0) : 0;
  });
  await golden.compare(`${name}/contingency`, square, goldenBounds.exact);
  const matched = matchingAccuracy(table);
  const columns = await golden.integers(`${name}/hungarian_columns`);
  const correct = columns.reduce((sum, label, cluster) => sum + (square[cluster * side + label] ?? 0), 0);
  const isBest = new Set(columns).size === side && correct === Math.round(matched.accuracy * table.total);
  golden.addError(`${name}/hungarian_columns`, isBest ? 0 : 1, goldenBounds.exact);
  const scalars: Readonly<Record<string, number>> = {
    accuracy: matched.accuracy,
    purity: purity(table),
    nmi: normalisedMutualInformation(table),
    nmi_geometric: normalisedMutualInformation(table, "geometric"),
    nmi_max: normalisedMutualInformation(table, "max"),
    nmi_min: normalisedMutualInformation(table, "min"),
    ami_arithmetic: adjustedMutualInformation(table),
    ami_geometric: adjustedMutualInformation(table, "geometric"),
    ami_max: adjustedMutualInformation(table, "max"),
    ami_min: adjustedMutualInformation(table, "min"),
    ari: adjustedRandIndex(table),
    mutual_information: mutualInformation(table),
    expected_mutual_information: expectedMutualInformation(table),
    entropy_of_classes: entropy(table.classSizes, table.total),
    entropy_of_clusters: entropy(table.clusterSizes, table.total),
  };
  for (const [key, value] of Object.entries(scalars)) golden.addScalar(stored.get(key), value, bounds.float64);
  await compareSeparation(golden, stored, x, assignment);
}

/** In float64 on the host, and as the commands compute it. */
async function compareSeparation(
  golden: GoldenCase,
  stored: Json,
  x: FeatureMatrix,
  groups: readonly number[],
): Promise<void> {
  golden.addScalar(stored.get("silhouette"), silhouette(x, groups), bounds.float64);
  golden.addScalar(stored.get("silhouette_cosine"), silhouette(x, groups, "cosine"), bounds.float64);
  golden.addScalar(stored.get("davies_bouldin"), daviesBouldin(x, groups), bounds.float64);
  golden.addScalar(stored.get("calinski_harabasz"), calinskiHarabasz(x, groups), bounds.float64);
  const found = await groupSeparation(golden.device, x, groups);
  golden.addScalar(stored.get("silhouette"), found.silhouette ?? Number.NaN, bounds.float32);
}

async function checkEdges(golden: GoldenCase, stored: Json, { x, labels }: Samples): Promise<void> {
  const splits: Readonly<Record<string, readonly number[]>> = {
    one_cluster: labels.map(() => 0),
    every_sample_its_own: labels.map((_, row) => row),
    permuted_labels: labels.map((label) => Math.max(...labels) - label),
  };
  for (const [name, split] of Object.entries(splits)) {
    const table = contingency(split, labels);
    const scores = {
      ami: adjustedMutualInformation(table),
      ari: adjustedRandIndex(table),
      nmi: normalisedMutualInformation(table),
    };
    // Some are zero but for rounding, so that the difference itself is bounded.
    for (const [key, value] of Object.entries(scores)) {
      const at = stored.get(name, key);
      golden.addError(at.path, Math.abs(value - at.number()), bounds.float64);
    }
  }
  const single = stored.get("class_with_one_sample");
  const groups = labels.with(single.get("sample").number(), single.get("new_label").number());
  await compareSeparation(golden, single, x, groups);
  const tensor = "class_with_one_sample/silhouette_samples";
  await golden.compare(tensor, silhouetteSamples(x, groups), bounds.float32); // stored in float32
  await golden.compare(tensor, await silhouetteSamplesOnDevice(golden.device, x, groups), bounds.float32);
}

/** Least difference of the squared distances to the nearest and the next centroid. */
function smallestGap(x: FeatureMatrix, centroids: FeatureMatrix): number {
  let least = Number.POSITIVE_INFINITY;
  for (let row = 0; row < x.rows; row++) {
    const distances = Array.from({ length: centroids.rows }, (_, k) => squaredDistance(x, row, centroids, k));
    const [nearest = 0, next = 0] = distances.sort((a, b) => a - b);
    least = Math.min(least, next - nearest);
  }
  return least;
}

async function matrix(golden: GoldenCase, name: string): Promise<FeatureMatrix> {
  const [rows = 0, columns = 0] = golden.shape(name);
  return { rows, columns, data: await golden.floats(name) };
}
