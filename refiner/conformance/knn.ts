import { classCount } from "../evaluation/core/feature_matrix.ts";
import { type FeatureMatrix, knnAccuracy, knnPredictions } from "../evaluation/index.ts";
import { featureStatistics, standardise, unitRows } from "../evaluation/statistics/standardise.ts";
import { goldenBounds } from "./bounds.ts";
import type { GoldenCase, GoldenCheck } from "./fixture.ts";
import type { Json } from "./json.ts";

/** k-NN classification: predictions, which must be equal, accuracies, and how clear the closest vote was. */
export const knnCase: GoldenCheck = {
  run: checkKnn,
  inputs: {
    tensors: /^(train|test)_[xy]$/,
    keys: /^(num_classes|conventions\..+|results\.\d+\.(name|k|tau|batch_normalize))$/,
  },
};

async function checkKnn(golden: GoldenCase): Promise<void> {
  golden.json.get("conventions").expect({ std: "unbiased", std_eps: 1e-6, normalize_eps: 1e-12 });
  const train = await features(golden, "train_x");
  const test = await features(golden, "test_x");
  const trainLabels = await golden.integers("train_y");
  const testLabels = await golden.integers("test_y");
  golden.json.expect({ num_classes: classCount(trainLabels) });
  const results = golden.json.get("results");
  for (const index of results.keys()) {
    const stored = results.get(index);
    const k = stored.get("k").value === null ? train.rows : stored.get("k").number();
    const temperature = stored.get("tau").number();
    const standardises = stored.get("batch_normalize").value === true;
    const predicted = await knnPredictions(golden.device, { features: train, labels: trainLabels }, test, {
      k,
      temperature,
      standardise: standardises,
    });
    await golden.compare(`predicted/${stored.get("name").text()}`, predicted, goldenBounds.exact);
    const share = await knnAccuracy(
      golden.device,
      { features: train, labels: trainLabels },
      { features: test, labels: testLabels },
      { k, temperature, standardise: standardises },
    );
    golden.addScalar(stored.get("accuracy"), share, goldenBounds.forward);
    golden.addScalar(stored.get("correct"), Math.round(share * test.rows), goldenBounds.exact);
    const statistics = featureStatistics(train);
    const prepare = (x: FeatureMatrix): FeatureMatrix => unitRows(standardises ? standardise(x, statistics) : x);
    const margin = smallestMargin(prepare(train), prepare(test), trainLabels, { k, temperature });
    golden.addScalar(stored.get("smallest_relative_vote_margin"), margin, marginBound(stored, temperature));
  }
}

async function features(golden: GoldenCase, name: string): Promise<FeatureMatrix> {
  const [rows = 0, columns = 0] = golden.shape(name);
  return { rows, columns, data: await golden.floats(name) };
}

/**
 * The margin is what remains of two nearly equal sums of exp(s/τ). A float32 similarity of unit rows is off by about 8 units of
 * 2⁻²⁴, each vote by 1/τ of that, the difference of two by twice.
 */
function marginBound(stored: Json, temperature: number): number {
  const margin = stored.get("smallest_relative_vote_margin").number();
  return Math.max(goldenBounds.forward, (2 * 8 * 2 ** -24) / temperature / margin);
}

/** Least of (best - second) / best over the classes' votes of each query. */
function smallestMargin(
  train: FeatureMatrix,
  test: FeatureMatrix,
  labels: readonly number[],
  { k, temperature }: { readonly k: number; readonly temperature: number },
): number {
  let least = 1;
  for (let query = 0; query < test.rows; query++) {
    const nearest = Array.from({ length: train.rows }, (_, row) => ({ row, similarity: dot(test, query, train, row) }))
      .sort((a, b) => b.similarity - a.similarity || a.row - b.row)
      .slice(0, k);
    const votes = new Map<number, number>();
    for (const { row, similarity } of nearest) {
      const label = labels[row] ?? -1;
      votes.set(label, (votes.get(label) ?? 0) + Math.exp(similarity / temperature));
    }
    const [best = 1, second = 0] = [...votes.values()].sort((a, b) => b - a);
    least = Math.min(least, (best - second) / best);
  }
  return least;
}

function dot(x: FeatureMatrix, row: number, y: FeatureMatrix, other: number): number {
  let sum = 0;
  for (let c = 0; c < x.columns; c++) sum += (x.data[row * x.columns + c] ?? 0) * (y.data[other * y.columns + c] ?? 0);
  return sum;
}
