import { checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";

/** A deviation this small beside the vector's length is rounding: its entries are equal. */
const smallestDeviation = 1e-12;

/**
 * Each feature vector minus the mean of its own entries, at unit length: the pre-processing of MIM-Refiner's low-shot script (that
 * of the library cyanure). Nothing is estimated on the training set. A vector whose entries are all equal becomes zero.
 *
 * @returns float32, as the published features are
 * @throws EvaluationError if a value is not finite
 */
export function centredUnitRows(x: FeatureMatrix): FeatureMatrix {
  checkMatrix("centredUnitRows", x);
  return centred(x, (deviation, length) => (deviation > smallestDeviation * length ? 1 / deviation : 0));
}

/** Each feature vector minus the mean of its own entries, as long as it is. @throws EvaluationError if a value is not finite */
export function centredRows(x: FeatureMatrix): FeatureMatrix {
  checkMatrix("centredRows", x);
  return centred(x, () => 1);
}

/** All rows times one factor, after which their lengths are 1 in the mean: a penalty then means what it does for unit rows. */
export function meanLengthRows(x: FeatureMatrix): FeatureMatrix {
  const { rows, columns, data } = x;
  let sum = 0;
  for (let row = 0; row < rows; row++)
    sum += lengthOf(Float64Array.from(data.subarray(row * columns, (row + 1) * columns)));
  const scale = sum > 0 ? rows / sum : 0;
  return { rows, columns, data: Float32Array.from(data, (value) => scale * value) };
}

/** @param scaleOf - from the lengths of a vector without and with its mean */
function centred(x: FeatureMatrix, scaleOf: (deviation: number, length: number) => number): FeatureMatrix {
  const { rows, columns } = x;
  const data = new Float32Array(rows * columns);
  const vector = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) vector[column] = x.data[row * columns + column] ?? 0;
    const mean = vector.reduce((sum, value) => sum + value, 0) / columns;
    const length = lengthOf(vector);
    for (let column = 0; column < columns; column++) vector[column] = (vector[column] ?? 0) - mean;
    const scale = scaleOf(lengthOf(vector), length);
    for (let column = 0; column < columns; column++) data[row * columns + column] = (vector[column] ?? 0) * scale;
  }
  return { rows, columns, data };
}

function lengthOf(vector: Float64Array): number {
  return Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
}
