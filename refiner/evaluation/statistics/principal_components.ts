import { RandomStream } from "../../data/batches/shuffle_random.ts";
import { EvaluationError } from "../core/errors.ts";
import { checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";
import { groupMeans } from "./groups.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";

const spareDirections = 5; // iterated beside the wanted ones: convergence then depends on the gap behind the spare ones
const subspaceTolerance = 1e-12; // relative change of the variances between iterations

export interface PrincipalComponents {
  /** `[columns]` */
  readonly mean: Float64Array;
  /** `[components, columns]`, orthonormal, of falling variance; the largest entry of each is positive. */
  readonly components: FeatureMatrix;
  /** Variance of the rows along each component (divided by rows - 1). */
  readonly variances: Float64Array;
  /** Whether the variances stood still before the last iteration; if not, the components are only near. */
  readonly converged: boolean;
}

/**
 * The leading principal components by orthogonal iteration on the centred rows, with a Rayleigh–Ritz step; the
 * covariance matrix is never formed. Depends on its arguments only.
 *
 * @param count - components wanted: 1 … columns (3 for a map of patch features in colour)
 * @param maxIterations - reached where variances hardly differ; `converged` then says so
 * @throws EvaluationError if there are fewer than 2 rows, or fewer columns than components
 */
export function principalComponents(x: FeatureMatrix, count: number, maxIterations = 60): PrincipalComponents {
  checkMatrix("principalComponents", x);
  const { rows, columns } = x;
  if (!Number.isInteger(count) || count < 1 || count > columns || rows < 2) {
    throw new EvaluationError(
      `principalComponents: ${count} components of ${rows} × ${columns} values; give at least 2 rows and 1 … ${columns} components`,
    );
  }
  const width = Math.min(count + spareDirections, columns);
  const mean = Float64Array.from(groupMeans(x, new Uint8Array(rows), 1).data);
  const random = new RandomStream(0, "principal components");
  let basis = orthonormal(
    Array.from({ length: width }, () => Float64Array.from({ length: columns }, () => random.normal())),
  );
  let converged = false;
  let variances: Float64Array = new Float64Array(width);
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    const scores = basis.map((direction) => projected(x, mean, direction));
    const { values, vectors } = symmetricEigen(gram(scores, rows - 1));
    const change = values.reduce(
      (most, value, at) => Math.max(most, at < count ? Math.abs(value - (variances[at] ?? 0)) : 0),
      0,
    );
    variances = values;
    basis = combined(basis, vectors);
    converged = change <= subspaceTolerance * (values[0] ?? 0);
    if (converged) break;
    basis = orthonormal(combined(scores, vectors).map((score) => backProjected(x, mean, score)));
  }
  const data = new Float64Array(count * columns);
  basis.slice(0, count).forEach((direction, at) => {
    data.set(withPositivePeak(direction), at * columns);
  });
  return { mean, components: { rows: count, columns, data }, variances: variances.slice(0, count), converged };
}

/** Coordinates of each row along the components, `[rows, components]`. */
export function componentScores(x: FeatureMatrix, { mean, components }: PrincipalComponents): FeatureMatrix {
  checkMatrix("componentScores", x);
  const count = components.rows;
  const data = new Float64Array(x.rows * count);
  for (let component = 0; component < count; component++) {
    const from = component * x.columns;
    const scores = projected(x, mean, Float64Array.from(components.data.subarray(from, from + x.columns)));
    scores.forEach((score, row) => {
      data[row * count + component] = score;
    });
  }
  return { rows: x.rows, columns: count, data };
}

function projected(x: FeatureMatrix, mean: Float64Array, direction: Float64Array): Float64Array {
  const { rows, columns, data } = x;
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let column = 0; column < columns; column++) {
      sum += ((data[row * columns + column] ?? 0) - (mean[column] ?? 0)) * (direction[column] ?? 0);
    }
    return sum;
  });
}

function backProjected(x: FeatureMatrix, mean: Float64Array, score: Float64Array): Float64Array {
  const { rows, columns, data } = x;
  const sums = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      sums[column] =
        (sums[column] ?? 0) + (score[row] ?? 0) * ((data[row * columns + column] ?? 0) - (mean[column] ?? 0));
    }
  }
  return sums;
}

function gram(vectors: readonly Float64Array[], divisor: number): Float64Array {
  return Float64Array.from(vectors.flatMap((a) => vectors.map((b) => dot(a, b) / divisor)));
}

// Column j of `vectors` weights the given ones: sum_i vectors[i, j] · given[i].
function combined(given: readonly Float64Array[], vectors: Float64Array): Float64Array[] {
  const size = given.length;
  return given.map((first, column) => {
    const sum = new Float64Array(first.length);
    given.forEach((vector, row) => {
      addScaled(sum, vectors[row * size + column] ?? 0, vector);
    });
    return sum;
  });
}

// Gram–Schmidt, twice, which is enough in floating point (Giraud et al., 2005). A direction that the data do not have
// (fewer than `width` of them vary) becomes zero and stays so.
function orthonormal(vectors: Float64Array[]): Float64Array[] {
  const done: Float64Array[] = [];
  for (const vector of vectors) {
    const before = Math.sqrt(dot(vector, vector));
    for (let pass = 0; pass < 2; pass++) for (const other of done) addScaled(vector, -dot(vector, other), other);
    const norm = Math.sqrt(dot(vector, vector));
    const independent = norm > 1e-12 * before;
    done.push(vector.map((value) => (independent ? value / norm : 0)));
  }
  return done;
}

function withPositivePeak(direction: Float64Array): Float64Array {
  const peak = direction.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
  return peak < 0 ? direction.map((value) => -value) : direction;
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
}

function addScaled(sum: Float64Array, scale: number, added: Float64Array): void {
  for (let at = 0; at < sum.length; at++) sum[at] = (sum[at] ?? 0) + scale * (added[at] ?? 0);
}
