import {
  accuracy,
  centredUnitRows,
  type FeatureMatrix,
  linearPredictions,
  lowShot,
  lowShotPenalty,
} from "../../evaluation/index.ts";
import { logisticObjective } from "../../evaluation/statistics/logistic_regression.ts";
import { goldenBounds } from "../bounds.ts";
import type { GoldenCase, GoldenCheck } from "../fixture.ts";
import type { Json } from "../json.ts";

/** Low-shot logistic regression: the exact minimum, and what the authors' solver left of it. */
export const lowShotCase: GoldenCheck = {
  run: checkLowShot,
  inputs: {
    tensors: /^(test_[xy]|shot\d+\/(train_[xy]|cyanure_weight))$/,
    keys: /^(num_classes|lambda_times_n|intercept|results\.\d+\.(name|shots|n))$/,
    // The tolerance of the authors' solver, and how far float32 was from float64 when the file was made.
    remarks:
      /^(tolerance|max_epochs|solver\..+|results\.\d+\.(preprocess|weight)_max_abs_difference_to_float64(_input)?)$/,
  },
};

/** Of the published evaluation: values of unit vectors; weights by their largest; the objective relatively. */
const bounds = { preprocessed: 1e-6, weight: 1e-3, objective: 1e-6 } as const;
/** Margins of 0.0025 and more are differences of scores of about 1, whose weights may differ by 1e-3 of the largest. */
const marginBound = 1e-1;

async function checkLowShot(golden: GoldenCase): Promise<void> {
  golden.json.expect({ intercept: false, lambda_times_n: lowShotPenalty });
  const test = { features: await matrix(golden, "test_x"), labels: await golden.integers("test_y") };
  const prepared = centredUnitRows(test.features);
  await golden.compare("test_x_preprocessed", prepared.data, bounds.preprocessed);
  const results = golden.json.get("results");
  for (const index of results.keys()) await checkShots(golden, results.get(index), test, prepared);
}

async function checkShots(
  golden: GoldenCase,
  stored: Json,
  test: { readonly features: FeatureMatrix; readonly labels: readonly number[] },
  prepared: FeatureMatrix,
): Promise<void> {
  const name = stored.get("name").text();
  const train = { features: await matrix(golden, `${name}/train_x`), labels: await golden.integers(`${name}/train_y`) };
  const features = centredUnitRows(train.features);
  await golden.compare(`${name}/train_x_preprocessed`, features.data, bounds.preprocessed);
  const found = await lowShot(golden.device, train, test);
  golden.json.expect({ num_classes: found.classes.length });
  stored.expect({ n: found.trainingRows, shots: found.trainingRows / found.classes.length });
  const { weight, objective, gradientNorm } = found.regression;
  const columnsOfClasses = transposed(weight);
  await golden.compare(`${name}/weight`, columnsOfClasses.data, bounds.weight);
  await golden.compare(`${name}/test_prediction`, found.predicted, goldenBounds.exact);
  const l2 = lowShotPenalty / found.trainingRows;
  const problem = { classes: weight.rows, columns: weight.columns, l2, bias: "none" } as const;
  const parameters = (values: FeatureMatrix): Float64Array =>
    Float64Array.of(...transposed(values).data, ...new Float64Array(weight.rows));
  const objectiveOf = (values: FeatureMatrix): number => {
    const at = parameters(values);
    return logisticObjective(at, features, train.labels, problem, new Float64Array(at.length));
  };
  golden.addScalar(stored.get("lam"), l2, goldenBounds.forward);
  golden.addScalar(stored.get("objective"), objective, bounds.objective);
  golden.addScalar(stored.get("largest_weight"), largest(weight.data), bounds.weight);
  golden.addScalar(stored.get("test_accuracy"), found.accuracy, goldenBounds.forward);
  // Zero at the minimum, but for rounding: of the gradient, and of rows that sum to zero.
  golden.addError(stored.get("largest_gradient_entry").path, gradientNorm, bounds.objective);
  golden.addError(
    stored.get("largest_row_sum_over_features").path,
    largest(sums(weight)) / largest(weight.data),
    bounds.weight,
  );
  const margin = smallestMargin(prepared, columnsOfClasses);
  golden.addScalar(stored.get("smallest_score_margin"), margin, marginBound);

  const published = await matrix(golden, `${name}/cyanure_weight`);
  const cyanure = { weight: transposed(published), bias: new Float64Array(weight.rows) };
  const predicted = await linearPredictions(golden.device, cyanure, prepared);
  await golden.compare(`${name}/cyanure_test_prediction`, predicted, goldenBounds.exact);
  const theirs = objectiveOf(published);
  const differences = columnsOfClasses.data.map((value, at) => value - (published.data[at] ?? 0));
  const scalars: Readonly<Record<string, [value: number, bound: number]>> = {
    objective: [theirs, bounds.objective],
    relative_suboptimality: [theirs / objective - 1, goldenBounds.gradient],
    test_accuracy: [accuracy(predicted, test.labels), goldenBounds.forward],
    max_abs_weight_difference: [largest(differences), bounds.weight],
    predictions_that_differ: [
      predicted.filter((label, row) => label !== found.predicted[row]).length,
      goldenBounds.exact,
    ],
  };
  for (const [key, [value, bound]] of Object.entries(scalars))
    golden.addScalar(stored.get("cyanure", key), value, bound);
}

/** Least distance of the two highest scores over all rows. */
function smallestMargin(x: FeatureMatrix, weight: FeatureMatrix): number {
  let least = Number.POSITIVE_INFINITY;
  for (let row = 0; row < x.rows; row++) {
    const scores = new Float64Array(weight.columns);
    for (let c = 0; c < x.columns; c++)
      for (let k = 0; k < weight.columns; k++)
        scores[k] = (scores[k] ?? 0) + (x.data[row * x.columns + c] ?? 0) * (weight.data[c * weight.columns + k] ?? 0);
    const [best = 0, second = 0] = [...scores].sort((a, b) => b - a);
    least = Math.min(least, best - second);
  }
  return least;
}

function sums({ rows, columns, data }: FeatureMatrix): Float64Array {
  const totals = new Float64Array(rows);
  data.forEach((value, at) => {
    const row = Math.floor(at / columns);
    totals[row] = (totals[row] ?? 0) + value;
  });
  return totals;
}

function transposed({ rows, columns, data }: FeatureMatrix): FeatureMatrix {
  const values = Float64Array.from(data, (_, at) => data[(at % rows) * columns + Math.floor(at / rows)] ?? 0);
  return { rows: columns, columns: rows, data: values };
}

function largest(values: ArrayLike<number>): number {
  return Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

async function matrix(golden: GoldenCase, name: string): Promise<FeatureMatrix> {
  const [rows = 0, columns = 0] = golden.shape(name);
  return { rows, columns, data: await golden.floats(name) };
}
