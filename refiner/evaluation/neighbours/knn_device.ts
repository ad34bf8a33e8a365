import type { Device } from "../../../engine/index.ts";
import { EvaluationError } from "../core/errors.ts";
import { classCount, type FeatureMatrix } from "../core/feature_matrix.ts";
import { featureStatistics, standardise } from "../statistics/standardise.ts";
import { accuracy, voteOfNeighbours } from "./knn.ts";
import { NeighbourBank } from "./neighbour_bank.ts";

export interface KnnOptions {
  /** Neighbours that vote; default 20. */
  readonly k?: number;
  /** τ of the weights exp(similarity/τ); default 0.07. */
  readonly temperature?: number;
  /** Whether features are standardised with mean and unbiased deviation of the training features; default true. */
  readonly standardise?: boolean;
}

/** Features with the class of each row, -1 where it has none. */
export interface LabelledFeatures {
  readonly features: FeatureMatrix;
  readonly labels: ArrayLike<number>;
}

/**
 * Predicted class of each test row: k nearest training rows by cosine similarity, found on the device in chunks of queries,
 * weighted vote (see `voteOfNeighbours`).
 *
 * @throws EvaluationError if sizes do not fit, k exceeds the training rows, or a feature is not finite
 */
export async function knnPredictions(
  device: Device,
  train: LabelledFeatures,
  test: FeatureMatrix,
  options: KnnOptions = {},
): Promise<Int32Array> {
  const { k = 20, temperature = 0.07, standardise: standardises = true } = options;
  if (train.labels.length !== train.features.rows) {
    throw new EvaluationError(
      `k-NN: ${train.labels.length} labels for ${train.features.rows} training rows; give one label per row`,
    );
  }
  const statistics = standardises ? featureStatistics(train.features) : undefined;
  const prepared = (x: FeatureMatrix): FeatureMatrix => (statistics ? standardise(x, statistics) : x);
  const bank = new NeighbourBank(device, prepared(train.features), k);
  try {
    const { similarities, indices } = await bank.search(prepared(test));
    const labels = Int32Array.from(indices, (row) => train.labels[row] ?? -1);
    return voteOfNeighbours(similarities, labels, { k, temperature, classes: classCount(train.labels) });
  } finally {
    bank.destroy();
  }
}

/**
 * Share of test rows whose class k-NN predicts.
 *
 * @returns 0 … 1, over test rows with a label
 * @throws EvaluationError as {@link knnPredictions}, and if training or test rows have no labels
 */
export async function knnAccuracy(
  device: Device,
  train: LabelledFeatures,
  test: LabelledFeatures,
  options: KnnOptions = {},
): Promise<number> {
  requireLabels(train, test);
  return accuracy(await knnPredictions(device, train, test.features, options), test.labels);
}

/** @throws EvaluationError if training or test rows have no labels */
export function requireLabels(train: Pick<LabelledFeatures, "labels">, test: Pick<LabelledFeatures, "labels">): void {
  for (const [name, { labels }] of Object.entries({ training: train, test })) {
    if (classCount(labels) === 0)
      throw new EvaluationError(
        `k-NN: no ${name} image has a label; use a folder with one subfolder per class, or a list with labels`,
      );
  }
}
