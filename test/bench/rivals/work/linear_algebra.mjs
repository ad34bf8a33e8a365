// Float64 loops that the results of every contestant are checked against. Matrices are row-major and flat.

/** c[m, n] (+)= a[m, k] b[k, n]. */
export function multiply(a, b, m, k, n, c = new Float64Array(m * n)) {
  for (let i = 0; i < m; i++) {
    for (let l = 0; l < k; l++) {
      const left = a[i * k + l];
      for (let j = 0; j < n; j++) c[i * n + j] += left * b[l * n + j];
    }
  }
  return c;
}

/** c[m, n] = a[k, m] transposed times b[k, n]: the gradient of a weight. */
export function multiplyLeftTransposed(a, b, m, k, n) {
  const c = new Float64Array(m * n);
  for (let l = 0; l < k; l++) {
    for (let i = 0; i < m; i++) {
      const left = a[l * m + i];
      for (let j = 0; j < n; j++) c[i * n + j] += left * b[l * n + j];
    }
  }
  return c;
}

/** c[m, n] = a[m, k] times b[n, k] transposed: the gradient of an input. */
export function multiplyRightTransposed(a, b, m, k, n) {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++) sum += a[i * k + l] * b[j * k + l];
      c[i * n + j] = sum;
    }
  }
  return c;
}

/** Soft-max of each row. */
export function softmaxRows(x, rows, columns) {
  const y = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    let largest = -Infinity;
    for (let c = 0; c < columns; c++) largest = Math.max(largest, x[r * columns + c]);
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += y[r * columns + c] = Math.exp(x[r * columns + c] - largest);
    for (let c = 0; c < columns; c++) y[r * columns + c] /= sum;
  }
  return y;
}

/** Standardised rows and the reciprocal of each row's deviation; `epsilon` is added to the variance. */
export function standardizeRows(x, rows, columns, epsilon) {
  const standard = new Float64Array(rows * columns);
  const scales = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    let mean = 0;
    for (let c = 0; c < columns; c++) mean += x[r * columns + c] / columns;
    let variance = 0;
    for (let c = 0; c < columns; c++) variance += (x[r * columns + c] - mean) ** 2 / columns;
    scales[r] = 1 / Math.sqrt(variance + epsilon);
    for (let c = 0; c < columns; c++) standard[r * columns + c] = (x[r * columns + c] - mean) * scales[r];
  }
  return { standard, scales };
}

/** The error function: its Taylor series where that converges fast, the continued fraction of erfc beyond. */
export function erf(x) {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  if (size < 2.5) {
    let term = size;
    let sum = size;
    for (let n = 1; Math.abs(term) > 1e-17 * sum; n++) {
      term *= (-size * size) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = size;
  for (let n = 60; n > 0; n--) fraction = size + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-size * size) / Math.sqrt(Math.PI) / fraction);
}

/** x Phi(x), the form with the error function. */
export function gelu(x) {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

/** d gelu / dx = Phi(x) + x phi(x). */
export function geluSlope(x) {
  return 0.5 * (1 + erf(x / Math.SQRT2)) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);
}
