import { EvaluationError } from "../core/errors.ts";
import { checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";

const deviationEpsilon = 1e-6; // added to the deviation; the protocol of the published k-NN evaluation
const normEpsilon = 1e-12; // smallest norm divided by; as PyTorch's normalize

/** Mean and standard deviation of each column, `[columns]`. */
export interface FeatureStatistics {
  readonly mean: Float64Array;
  readonly deviation: Float64Array;
}

/**
 * Mean and standard deviation per dimension, in two passes.
 *
 * @param deviation - "unbiased" divides by rows - 1 (k-NN), "biased" by rows (logistic regression)
 */
export function featureStatistics(x: FeatureMatrix, deviation: "unbiased" | "biased" = "unbiased"): FeatureStatistics {
  checkMatrix("featureStatistics", x);
  const { rows, columns, data } = x;
  const mean = new Float64Array(columns);
  const squares = new Float64Array(columns);
  data.forEach((value, at) => {
    mean[at % columns] = (mean[at % columns] ?? 0) + value / rows;
  });
  data.forEach((value, at) => {
    squares[at % columns] = (squares[at % columns] ?? 0) + (value - (mean[at % columns] ?? 0)) ** 2;
  });
  const divisor = deviation === "biased" ? rows : Math.max(rows - 1, 1); // one row: all deviations are 0
  return { mean, deviation: squares.map((sum) => Math.sqrt(sum / divisor)) };
}

/**
 * `(x - mean) / (deviation + 1e-6)`, with the statistics of the training features for both parts.
 *
 * @throws EvaluationError if the statistics are of another width
 */
export function standardise(
  x: FeatureMatrix,
  statistics: FeatureStatistics,
  epsilon = deviationEpsilon,
): FeatureMatrix {
  checkMatrix("standardise", x);
  const { mean, deviation } = statistics;
  if (mean.length !== x.columns) {
    throw new EvaluationError(
      `standardise: features of width ${x.columns} with statistics of width ${mean.length}; take both from the same block`,
    );
  }
  const { columns } = x;
  return {
    ...x,
    data: x.data.map((value, at) => (value - (mean[at % columns] ?? 0)) / ((deviation[at % columns] ?? 0) + epsilon)),
  };
}

/** Scales each row to unit length; a row of zeros stays zero. */
export function unitRows(x: FeatureMatrix): FeatureMatrix {
  checkMatrix("unitRows", x);
  const { rows, columns } = x;
  const data = x.data.slice();
  for (let row = 0; row < rows; row++) {
    const values = data.subarray(row * columns, (row + 1) * columns);
    let squares = 0;
    for (const value of values) squares += value * value;
    const norm = Math.max(Math.sqrt(squares), normEpsilon);
    for (let column = 0; column < columns; column++) values[column] = (values[column] ?? 0) / norm;
  }
  return { ...x, data };
}
