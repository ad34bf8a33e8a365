/** Plain float64 loops that the golden kernels are compared with; matrices are row-major. */

/** a bᵀ for a `[rows, inner]` and b `[columns, inner]`. */
export function productTransposed(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  rows: number,
  columns: number,
  inner: number,
): number[] {
  return cells(rows, columns, (r, c) => total(inner, (i) => (a[r * inner + i] ?? 0) * (b[c * inner + i] ?? 0)));
}

/** Exact GELU, x Φ(x). */
export function gelu(x: number): number {
  return 0.5 * x * (1 + errorFunction(x / Math.SQRT2));
}

/** erf by its Taylor series (Abramowitz & Stegun 7.1.5); to 1e-12 for |x| ≤ 3, beyond which it is ±1 within 3e-5. */
function errorFunction(x: number): number {
  if (Math.abs(x) > 3) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; n < 60; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

export function softmaxRows(x: ArrayLike<number>, rows: number, columns: number): number[] {
  const y: number[] = [];
  for (let r = 0; r < rows; r++) {
    const row = Array.from({ length: columns }, (_, c) => x[r * columns + c] ?? 0);
    const most = Math.max(...row);
    const weights = row.map((value) => Math.exp(value - most));
    const sum = weights.reduce((all, weight) => all + weight, 0);
    y.push(...weights.map((weight) => weight / sum));
  }
  return y;
}

export function layerNormRows(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  rows: number,
  columns: number,
): number[] {
  const y: number[] = [];
  for (let r = 0; r < rows; r++) {
    const row = Array.from({ length: columns }, (_, c) => x[r * columns + c] ?? 0);
    const mean = row.reduce((all, value) => all + value, 0) / columns;
    const variance = row.reduce((all, value) => all + (value - mean) ** 2, 0) / columns;
    const scale = 1 / Math.sqrt(variance + 1e-6);
    y.push(...row.map((value, c) => (value - mean) * scale * (weight[c] ?? 1) + (bias[c] ?? 0)));
  }
  return y;
}

/** Softmax attention of one image: qkv rows `[tokens, 3 · heads · headDim]`. */
export function attentionRows(qkv: ArrayLike<number>, tokens: number, heads: number, headDim: number): number[] {
  const width = heads * headDim;
  const at = (third: number, token: number, head: number, i: number): number =>
    qkv[token * 3 * width + third * width + head * headDim + i] ?? 0;
  const y = new Array<number>(tokens * width).fill(0);
  for (let head = 0; head < heads; head++) {
    const scores = cells(
      tokens,
      tokens,
      (q, k) => total(headDim, (i) => at(0, q, head, i) * at(1, k, head, i)) / Math.sqrt(headDim),
    );
    const weights = softmaxRows(scores, tokens, tokens);
    for (let q = 0; q < tokens; q++) {
      for (let i = 0; i < headDim; i++) {
        y[q * width + head * headDim + i] = total(tokens, (k) => (weights[q * tokens + k] ?? 0) * at(2, k, head, i));
      }
    }
  }
  return y;
}

function cells(rows: number, columns: number, value: (row: number, column: number) => number): number[] {
  return Array.from({ length: rows * columns }, (_, i) => value(Math.floor(i / columns), i % columns));
}

function total(count: number, term: (index: number) => number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += term(i);
  return sum;
}
