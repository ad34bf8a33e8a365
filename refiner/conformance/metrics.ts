import {
  accuracy,
  adjustedMutualInformation,
  adjustedRandIndex,
  calinskiHarabasz,
  completeness,
  contingency,
  daviesBouldin,
  type FeatureMatrix,
  featureStatistics,
  fitLogisticRegression,
  homogeneity,
  logProbabilities,
  matchingAccuracy,
  mostProbable,
  mutualInformation,
  nearestCentroids,
  negativeLogLikelihood,
  normalisedMutualInformation,
  silhouette,
  silhouetteSamples,
  standardise,
} from "../evaluation/index.ts";
import { groupMeans } from "../evaluation/statistics/groups.ts";
import { goldenBounds } from "./bounds.ts";
import type { GoldenCase, GoldenCheck } from "./fixture.ts";
import type { Json } from "./json.ts";

/** Cluster metrics and logistic regression. */
export const metricsCase: GoldenCheck = {
  run: checkMetrics,
  inputs: {
    tensors: /^(x|y|centroids|logreg\/(train|test)_[xy])$/,
    keys: /^(num_classes|num_clusters|logistic_regression\.\d+\.(name|l2|fit_intercept))$/,
  },
};

async function checkMetrics(golden: GoldenCase): Promise<void> {
  await checkClustering(golden);
  const list = golden.json.get("logistic_regression");
  for (const index of list.keys()) await checkLogisticRegression(golden, list.get(index));
}

async function checkClustering(golden: GoldenCase): Promise<void> {
  const x = await matrix(golden, "x");
  const labels = await golden.integers("y");
  const centroids = await matrix(golden, "centroids");
  const { assignment, distances } = nearestCentroids(x, centroids);
  await golden.compare("assignment", assignment, goldenBounds.exact);
  const means = groupMeans(x, assignment, centroids.rows);
  await golden.compare("centroids_after_one_iteration", means.data, goldenBounds.forward);

  const table = contingency(assignment, labels);
  golden.json.expect({ num_classes: table.classes, num_clusters: centroids.rows });
  const [side = 0] = golden.shape("contingency");
  const square = Array.from({ length: side * side }, (_, at) => {
    const [cluster, label] = [Math.floor(at / side), at % side];
    return label < table.classes && cluster < table.clusters ? (table.counts[cluster * table.classes + label] ?? 0) : 0;
  });
  await golden.compare("contingency", square, goldenBounds.exact);
  const matched = matchingAccuracy(table);
  const columns = await golden.integers("hungarian_columns");
  const isBest = matchedSamples(square, columns) === Math.round(matched.accuracy * table.total);
  golden.addError("hungarian_columns", isBest ? 0 : 1, goldenBounds.exact);
  await golden.compare("silhouette_samples_of_classes", silhouetteSamples(x, labels), goldenBounds.forward);

  const classes = table.classes;
  const permuted = contingency(
    labels.map((label) => (label + 1) % classes),
    labels,
  );
  const single = contingency(new Int32Array(labels.length), labels);
  const scalars: Readonly<Record<string, number>> = {
    cluster_accuracy: matched.accuracy,
    nmi_arithmetic: normalisedMutualInformation(table),
    nmi_geometric: normalisedMutualInformation(table, "geometric"),
    ami_arithmetic: adjustedMutualInformation(table),
    ari: adjustedRandIndex(table),
    homogeneity: homogeneity(table),
    completeness: completeness(table),
    v_measure: normalisedMutualInformation(table), // their harmonic mean; equal to NMI by the arithmetic mean
    silhouette_of_classes_euclidean: silhouette(x, labels),
    silhouette_of_classes_cosine: silhouette(x, labels, "cosine"),
    silhouette_of_clusters_euclidean: silhouette(x, assignment),
    calinski_harabasz_of_classes: calinskiHarabasz(x, labels),
    calinski_harabasz_of_clusters: calinskiHarabasz(x, assignment),
    davies_bouldin_of_classes: daviesBouldin(x, labels),
    davies_bouldin_of_clusters: daviesBouldin(x, assignment),
    inertia: distances.reduce((sum, distance) => sum + distance, 0),
    mutual_information_nats: mutualInformation(table),
  };
  const stored = golden.json.get("clustering");
  for (const key of stored.keys())
    if (key !== "edge") golden.addScalar(stored.get(key), scalars[key] ?? Number.NaN, goldenBounds.forward);
  for (const [name, split] of Object.entries({ permuted_labels: permuted, one_cluster: single })) {
    golden.addScalar(stored.get("edge", name, "ari"), adjustedRandIndex(split), goldenBounds.forward);
    golden.addScalar(stored.get("edge", name, "nmi"), normalisedMutualInformation(split), goldenBounds.forward);
  }
}

async function checkLogisticRegression(golden: GoldenCase, stored: Json): Promise<void> {
  const train = await matrix(golden, "logreg/train_x");
  const test = await matrix(golden, "logreg/test_x");
  const trainLabels = await golden.integers("logreg/train_y");
  const testLabels = await golden.integers("logreg/test_y");
  const statistics = featureStatistics(train, "biased");
  const prepared = (x: FeatureMatrix): FeatureMatrix =>
    standardise({ ...x, data: Float64Array.from(x.data) }, statistics, 0);
  const model = await fitLogisticRegression(golden.device, prepared(train), trainLabels, {
    l2: stored.get("l2").number(),
    bias: stored.get("fit_intercept").value === true ? "unpenalised" : "none",
  });
  const [trainLogs, testLogs] = [logProbabilities(model, prepared(train)), logProbabilities(model, prepared(test))];
  const predicted = mostProbable(testLogs);
  const name = `logreg/${stored.get("name").text()}`;
  await golden.compare(`${name}/weight`, model.weight.data, minimumBound);
  await golden.compare(`${name}/bias`, model.bias, minimumBound);
  await golden.compare(`${name}/test_prediction`, predicted, goldenBounds.exact);
  const scalars: Readonly<Record<string, number>> = {
    objective: model.objective,
    train_cross_entropy: negativeLogLikelihood(trainLogs, trainLabels),
    test_cross_entropy: negativeLogLikelihood(testLogs, testLabels),
    train_accuracy: accuracy(mostProbable(trainLogs), trainLabels),
    test_accuracy: accuracy(predicted, testLabels),
    smallest_log_probability_margin: smallestMargin(testLogs),
  };
  for (const [key, value] of Object.entries(scalars)) {
    const bound = key.endsWith("margin") ? goldenBounds.gradient : goldenBounds.forward;
    golden.addScalar(
      stored.get(key),
      value,
      key === "objective" ? goldenBounds.forward : Math.max(bound, minimumBound),
    );
  }
}

/** Samples in the class of their cluster; 0 if some class is given to two clusters. Several matchings may be equally good. */
function matchedSamples(square: readonly number[], columns: readonly number[]): number {
  if (new Set(columns).size < columns.length) return 0;
  return columns.reduce((sum, label, cluster) => sum + (square[cluster * columns.length + label] ?? 0), 0);
}

/** The stored minimum was itself found to a gradient of about 1e-6; by the penalty's curvature, 0.01 at least, weights to 1e-4. */
const minimumBound = goldenBounds.gradient;

/** Least distance of the two most probable classes' log probabilities over all rows. */
function smallestMargin({ rows, columns, data }: FeatureMatrix): number {
  const margins = Array.from({ length: rows }, (_, row) => {
    const [best = 0, second = 0] = [...data.subarray(row * columns, (row + 1) * columns)].sort((a, b) => b - a);
    return best - second;
  });
  return Math.min(...margins);
}

async function matrix(golden: GoldenCase, name: string): Promise<FeatureMatrix> {
  const [rows = 0, columns = 0] = golden.shape(name);
  return { rows, columns, data: await golden.floats(name) };
}
