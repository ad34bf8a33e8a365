import { EvaluationError } from "../core/errors.ts";
import { checkLabels, checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";
import { symmetricEigenvalues } from "./symmetric_eigenvalues.ts";

const shareFloor = 1e-7; // added to each share, as in RankMe, equation 3 (ε for float32 features)
const withinRidge = 1e-4; // δ of LiDAR's within-class covariance

/**
 * RankMe (Garrido et al., arXiv 2210.02885, equation 3): the exponential of the entropy of the features' singular values, each as its
 * share of their sum. Between 1, all features along one direction, and the smaller of rows and columns. Needs no labels; higher means
 * that more directions are used. The paper takes 25,600 images; below some times the columns it is bounded by the rows.
 *
 * @param x - `[rows, columns]`, not centred
 * @throws EvaluationError if a value is not finite, or all are 0
 */
export function rankMe(x: FeatureMatrix): number {
  checkMatrix("rankMe", x);
  // The eigenvalues of the smaller of XᵀX and XXᵀ are the squared singular values.
  const size = Math.min(x.rows, x.columns);
  const gram = x.rows < x.columns ? gramOfRows(x) : gramOfColumns(x);
  const singular = symmetricEigenvalues(gram, size).map((value) => Math.sqrt(Math.max(value, 0)));
  return effectiveRank("rankMe", singular);
}

/**
 * LiDAR (Thilak et al., arXiv 2312.04000, equations 1 to 4): the effective rank of what tells images apart, seen through what changes
 * between the views of one image. Every image is a class of its own, its views are the samples; the eigenvalues are those of
 * `(Σ_within + δ)^(-1/2) Σ_between (Σ_within + δ)^(-1/2)` with δ = 1e-4.
 *
 * It tells how evenly images differ, not how much: a block that tells them apart badly, but along many directions, is above one that
 * separates them well along a few. And directions that tell nothing count, too: the means of q views differ by chance by Σ_within / q,
 * eigenvalues of about 1 / q. So compare equal layers of several trainings, as the paper does, by equally many views (it takes 50).
 *
 * @param x - features of views
 * @param images - image of each row; at least two images, and two views of each
 * @throws EvaluationError for fewer, or if a value is not finite
 */
export function lidar(x: FeatureMatrix, images: ArrayLike<number>): number {
  checkMatrix("lidar", x);
  checkLabels("lidar", images, x.rows);
  const { columns } = x;
  const groups = groupsOf(images);
  if (groups.length < 2 || groups.some((rows) => rows.length < 2)) {
    throw new EvaluationError(
      `lidar: ${groups.length} images with ${groups.reduce((least, rows) => Math.min(least, rows.length), x.rows)} views at least; give two images or more, and two views or more of each`,
    );
  }
  const means = groups.map((rows) => meanOf(x, rows));
  const centre = new Float64Array(columns);
  for (const mean of means)
    for (let c = 0; c < columns; c++) centre[c] = (centre[c] ?? 0) + (mean[c] ?? 0) / means.length;
  const between = new Float64Array(columns * columns);
  const within = new Float64Array(columns * columns);
  const difference = new Float64Array(columns);
  groups.forEach((rows, image) => {
    const mean = means[image] ?? centre;
    for (let c = 0; c < columns; c++) difference[c] = (mean[c] ?? 0) - (centre[c] ?? 0);
    addOuter(between, difference, 1 / groups.length);
    for (const row of rows) {
      for (let c = 0; c < columns; c++) difference[c] = (x.data[row * columns + c] ?? 0) - (mean[c] ?? 0);
      addOuter(within, difference, 1 / (groups.length * rows.length));
    }
  });
  for (let c = 0; c < columns; c++) within[c * columns + c] = (within[c * columns + c] ?? 0) + withinRidge;
  mirror(between, columns);
  mirror(within, columns);
  const ratios = symmetricEigenvalues(whitened(between, within, columns), columns);
  return effectiveRank(
    "lidar",
    ratios.map((value) => Math.max(value, 0)),
  );
}

/** exp of the entropy of the shares. */
function effectiveRank(operation: string, values: Float64Array): number {
  const total = values.reduce((sum, value) => sum + value, 0);
  if (!(total > 0)) throw new EvaluationError(`${operation}: all features are equal; the model has collapsed`);
  const entropy = values.reduce((sum, value) => {
    const share = value / total + shareFloor;
    return sum - share * Math.log(share);
  }, 0);
  return Math.exp(entropy);
}

function gramOfColumns({ rows, columns, data }: FeatureMatrix): Float64Array {
  const gram = new Float64Array(columns * columns);
  for (let row = 0; row < rows; row++) addOuter(gram, data.subarray(row * columns, (row + 1) * columns), 1);
  mirror(gram, columns);
  return gram;
}

function gramOfRows({ rows, columns, data }: FeatureMatrix): Float64Array {
  const gram = new Float64Array(rows * rows);
  for (let row = 0; row < rows; row++) {
    for (let other = 0; other <= row; other++) {
      let sum = 0;
      for (let c = 0; c < columns; c++) sum += (data[row * columns + c] ?? 0) * (data[other * columns + c] ?? 0);
      gram[row * rows + other] = sum;
    }
  }
  mirror(gram, rows);
  return gram;
}

/** Adds the lower half of `scale · v vᵀ`. */
function addOuter(sum: Float64Array, v: ArrayLike<number>, scale: number): void {
  for (let i = 0; i < v.length; i++) {
    const factor = scale * (v[i] ?? 0);
    const first = i * v.length;
    for (let j = 0; j <= i; j++) sum[first + j] = (sum[first + j] ?? 0) + factor * (v[j] ?? 0);
  }
}

function mirror(matrix: Float64Array, size: number): void {
  for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) matrix[j * size + i] = matrix[i * size + j] ?? 0;
}

/** `L⁻¹ B L⁻ᵀ` with `W = L Lᵀ`: the eigenvalues of W^(-1/2) B W^(-1/2). Overwrites both. */
function whitened(between: Float64Array, within: Float64Array, size: number): Float64Array {
  choleskyInPlace(within, size);
  solveRows(within, between, size); // rows of B L⁻ᵀ
  transposeInPlace(between, size);
  solveRows(within, between, size);
  return between;
}

/** The lower triangle becomes L. */
function choleskyInPlace(a: Float64Array, size: number): void {
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * size + j] ?? 0;
      for (let k = 0; k < j; k++) sum -= (a[i * size + k] ?? 0) * (a[j * size + k] ?? 0);
      a[i * size + j] = i === j ? Math.sqrt(sum) : sum / (a[j * size + j] ?? 1);
    }
  }
}

/** Replaces each row b of B by the solution y of L y = b. */
function solveRows(lower: Float64Array, b: Float64Array, size: number): void {
  for (let row = 0; row < size; row++) {
    const y = b.subarray(row * size, (row + 1) * size);
    for (let i = 0; i < size; i++) {
      let sum = y[i] ?? 0;
      for (let k = 0; k < i; k++) sum -= (lower[i * size + k] ?? 0) * (y[k] ?? 0);
      y[i] = sum / (lower[i * size + i] ?? 1);
    }
  }
}

function transposeInPlace(matrix: Float64Array, size: number): void {
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < i; j++) {
      const kept = matrix[i * size + j] ?? 0;
      matrix[i * size + j] = matrix[j * size + i] ?? 0;
      matrix[j * size + i] = kept;
    }
  }
}

function groupsOf(images: ArrayLike<number>): number[][] {
  const groups = new Map<number, number[]>();
  for (let row = 0; row < images.length; row++) {
    const image = images[row] ?? 0;
    const rows = groups.get(image);
    if (rows) rows.push(row);
    else groups.set(image, [row]);
  }
  return [...groups.values()];
}

function meanOf({ columns, data }: FeatureMatrix, rows: readonly number[]): Float64Array {
  const mean = new Float64Array(columns);
  for (const row of rows)
    for (let c = 0; c < columns; c++) mean[c] = (mean[c] ?? 0) + (data[row * columns + c] ?? 0) / rows.length;
  return mean;
}
