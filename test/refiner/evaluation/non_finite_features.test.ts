import { describe, expect, it } from "vitest";
import { vitConfig } from "../../../models/index.ts";
import * as evaluation from "../../../refiner/evaluation/index.ts";
import {
  type BlockFeatures,
  EvaluationError,
  type FeatureChoice,
  type FeatureMatrix,
} from "../../../refiner/evaluation/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();

const labels = [0, 1, 0, 1, 0, 1];
const good: FeatureMatrix = {
  rows: 6,
  columns: 3,
  data: Float64Array.from({ length: 18 }, (_, i) => Math.sin(7 * i)),
};
/** The same with a value in row 4 that is no number. */
const spoilt = (value: number): FeatureMatrix => ({ ...good, data: good.data.with(13, value) });

const everyRow = { shots: 3, split: "1", rows: Array.from({ length: good.rows }, (_, row) => row) };

/** One block of an encoder without class token, in post-norm form: nothing else could be chosen. */
const vit = vitConfig({ patchPixels: 4, width: 4, blocks: 1, heads: 1, classTokens: 0, kind: "postnorm" });
const whole: FeatureChoice = { blocks: ["last"], pooling: "avg" };
const encoded = (x: FeatureMatrix): BlockFeatures => ({
  blocks: ["last"],
  features: [x],
  labels: Int32Array.from(labels),
  indices: Uint32Array.from(labels.keys()),
});

/** What is called with a matrix that may hold what is not finite; a name may stand for several arguments. */
const takingFeatures: Readonly<Record<string, (x: FeatureMatrix) => unknown>> = {
  NeighbourBank: (x) => new evaluation.NeighbourBank(device, x, 1),
  "NeighbourBank, queries": async (x) => await new evaluation.NeighbourBank(device, good, 1).search(x),
  calinskiHarabasz: (x) => evaluation.calinskiHarabasz(x, labels),
  colourMap: evaluation.colourMap,
  componentScores: (x) => evaluation.componentScores(x, evaluation.principalComponents(good, 2)),
  daviesBouldin: (x) => evaluation.daviesBouldin(x, labels),
  featureStatistics: (x) => evaluation.featureStatistics(x),
  fitLogisticRegression: (x) => evaluation.fitLogisticRegression(device, x, labels, { l2: 1, bias: "none" }),
  kMeans: (x) => evaluation.kMeans(device, x, { clusters: 2, seed: 0 }),
  "kMeans, start": (x) => evaluation.kMeans(device, good, { clusters: 6, seed: 0, start: x }),
  knnAccuracy: async (x) =>
    await evaluation.knnAccuracy(device, { features: x, labels }, { features: good, labels }, { k: 1 }),
  "knnAccuracy, test": async (x) =>
    await evaluation.knnAccuracy(device, { features: good, labels }, { features: x, labels }, { k: 1 }),
  knnPredictions: async (x) => await evaluation.knnPredictions(device, { features: x, labels }, good, { k: 1 }),
  logProbabilities: (x) =>
    evaluation.logProbabilities(
      { weight: { ...good, rows: 2, data: good.data.subarray(6) }, bias: new Float64Array(2) },
      x,
    ),
  nearestCentroids: (x) => evaluation.nearestCentroids(x, good),
  "nearestCentroids, centroids": (x) => evaluation.nearestCentroids(good, x),
  nearestMembers: (x) =>
    evaluation.nearestMembers(
      x,
      { centroids: { ...good, rows: 1, data: good.data.slice(0, good.columns) }, assignment: new Int32Array(6) },
      2,
    ),
  "nearestMembers, centres": (x) => evaluation.nearestMembers(good, { centroids: x, assignment: new Int32Array(6) }, 2),
  principalComponents: (x) => evaluation.principalComponents(x, 2),
  silhouette: (x) => evaluation.silhouette(x, labels),
  silhouetteSamples: (x) => evaluation.silhouetteSamples(x, labels, "cosine"),
  standardise: (x) => evaluation.standardise(x, evaluation.featureStatistics(good)),
  unitRows: evaluation.unitRows,
  KMeansSearch: (x) => new evaluation.KMeansSearch(device, x),
  accuracyOnClasses: (x) => evaluation.accuracyOnClasses(x, labels, [0, 1]),
  centredUnitRows: evaluation.centredUnitRows,
  clusterCurve: (x) => evaluation.clusterCurve(device, x, [2], { seed: 0 }),
  groupSeparation: (x) => evaluation.groupSeparation(device, x, labels),
  lidar: (x) => evaluation.lidar(x, labels),
  lowShot: (x) => evaluation.lowShot(device, { features: x, labels }, { features: good, labels }),
  "lowShot, test": (x) => evaluation.lowShot(device, { features: good, labels }, { features: x, labels }),
  lowShotOfSubsets: (x) =>
    evaluation.lowShotOfSubsets(device, { features: x, labels }, { features: good, labels }, [everyRow]),
  neighbourAgreement: (x) => evaluation.neighbourAgreement(device, x, good, 1),
  "neighbourAgreement, second": (x) => evaluation.neighbourAgreement(device, good, x, 1),
  linearPredictions: (x) =>
    evaluation.linearPredictions(
      device,
      { weight: { ...good, rows: 2, data: good.data.subarray(6) }, bias: new Float64Array(2) },
      x,
    ),
  rankMe: evaluation.rankMe,
  featuresOf: (x) => evaluation.featuresOf(encoded(x), whole, "avg"),
  knnOfFeatures: (x) => evaluation.knnOfFeatures(device, { bank: encoded(x), queries: encoded(good) }, { k: 1 }),
  knnSensitivity: (x) =>
    evaluation.knnSensitivity(
      device,
      vit,
      { bank: encoded(x), queries: encoded(good) },
      { features: whole, k: 1, temperature: 1, standardise: false },
    ),
  lowShotSensitivity: (x) =>
    evaluation.lowShotSensitivity(device, vit, { train: encoded(x), test: encoded(good) }, whole, everyRow),
  clusterSensitivity: (x) =>
    evaluation.clusterSensitivity(device, vit, encoded(x), whole, { clusters: 2, seed: 0, unitLength: true }),
  silhouetteSamplesOnDevice: (x) => evaluation.silhouetteSamplesOnDevice(device, x, labels),
};

/** What refuses NaN alone, in its row; infinities have a meaning there, or cannot arise. */
const takingNumbers: Readonly<Record<string, () => unknown>> = {
  greyLevels: () => evaluation.greyLevels([0, 0, 1, 1, Number.NaN], { rows: 5, columns: 1 }, { width: 2, height: 5 }),
  mostProbable: () => evaluation.mostProbable(spoilt(Number.NaN)),
  negativeLogLikelihood: () => evaluation.negativeLogLikelihood(spoilt(Number.NaN), labels),
  recommendedBlocks: () => evaluation.recommendedBlocks([0.5, 0.6, 0.5, 0.4, Number.NaN]),
  voteOfNeighbours: () =>
    evaluation.voteOfNeighbours([0, 0, 0, 0, 0, 0, 0, 0, 0, Number.NaN], Array(10).fill(0), { k: 2, classes: 1 }),
};

/** What takes no features of the caller. */
const others: readonly string[] = [
  "EvaluationError",
  "encodeSides",
  "encodingOfChanges",
  "featureChanges",
  "labelFreeScores",
  "probeSensitivity",
  "attentionMaps",
  "classifyImages",
  "defaultSegmentationPreset",
  "frequencyGroups",
  "intersectionScores",
  "segmentationBlocks",
  "segmentationGrid",
  "segmentationPreset",
  "segmentationPresets",
  "segmentationProbe",
  "segmentationSchema",
  "MersenneTwister",
  "NonFiniteFeaturesError",
  "classifierAccuracy",
  "classifierPredictions",
  "lowShotSummary",
  "clusterAgreement",
  "corruptionMean",
  "corruptionSeverities",
  "expectedMutualInformation",
  "fewShotPlaces",
  "fewShotSubset",
  "holdoutPlaces",
  "holdoutSplit",
  "imageNetAClasses",
  "imageNetCorruptions",
  "imageNetRClasses",
  "lowShotPenalty",
  "purity",
  "rowsOfList",
  "EvaluationInputs",
  "FeatureExtractor",
  "accuracy",
  "adjustedMutualInformation",
  "adjustedRandIndex",
  "collectFeatures",
  "completeness",
  "contingency",
  "defaultPooling",
  "defaultProbePreset",
  "encodeFeatures",
  "enlargedMap",
  "entropy",
  "homogeneity",
  "knnOfBlocks",
  "linearProbe",
  "linearProbeSchema",
  "matchChannels",
  "matchingAccuracy",
  "mutualInformation",
  "normalisedMutualInformation",
  "labelledImages",
  "accuracyOf",
  "confusionTable",
  "meanShare",
  "pairedDifference",
  "pairedShares",
  "rightShares",
  "principalMaps",
  "probeGrid",
  "probePreset",
  "probePresets",
  "probeRateAt",
  "reconstructionOfBlocks",
  "stratifiedSplit",
  "streamFeatures",
];

it("every public function of the evaluation is known to take features or not", () => {
  const named = [...Object.keys(takingFeatures), ...Object.keys(takingNumbers), ...others];
  const known = new Set(named.map((name) => name.replace(/,.*/, "")));
  expect([...known].sort()).toEqual(Object.keys(evaluation).sort());
});

describe.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])("a feature of %f", (value) => {
  it.each(Object.entries(takingFeatures))("is refused by %s, which names its row", async (_name, run) => {
    const call = async (): Promise<unknown> => await run(spoilt(value));
    await expect(call()).rejects.toThrow(EvaluationError);
    await expect(call()).rejects.toThrow(`row 4 of the`);
    await expect(call()).rejects.toThrow(`holds ${value}`);
  });
});

it.each(Object.entries(takingNumbers))("NaN is refused by %s, which names its place", (_name, run) => {
  expect(run).toThrow(EvaluationError);
  expect(run).toThrow(/(row|query|block) 4 /);
});

it("finite features pass everywhere", async () => {
  for (const [name, run] of Object.entries(takingFeatures)) {
    await expect((async () => await run(good))(), name).resolves.toBeDefined();
  }
});
