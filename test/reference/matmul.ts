/** `op(A) op(B)` for row-major matrices in float64; A is `[rows, depth]` after its transpose, B `[depth, columns]`. */
export function matmulReference(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  size: { rows: number; columns: number; depth: number; transposeA?: boolean; transposeB?: boolean },
): Float64Array {
  const { rows, columns, depth, transposeA = false, transposeB = false } = size;
  const left = (i: number, k: number): number => a[transposeA ? k * rows + i : i * depth + k] ?? Number.NaN;
  const right = (k: number, j: number): number => b[transposeB ? j * depth + k : k * columns + j] ?? Number.NaN;
  const y = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) sum += left(i, k) * right(k, j);
      y[i * columns + j] = sum;
    }
  }
  return y;
}

/** `batches` products behind each other; an operand that holds only one matrix is used for all. */
export function batchedMatmulReference(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  size: { batches: number; rows: number; columns: number; depth: number; transposeA?: boolean; transposeB?: boolean },
): Float64Array {
  const { batches, rows, columns, depth } = size;
  const y = new Float64Array(batches * rows * columns);
  for (let batch = 0; batch < batches; batch++) {
    const left = part(a, rows * depth, batch);
    const right = part(b, depth * columns, batch);
    y.set(matmulReference(left, right, size), batch * rows * columns);
  }
  return y;
}

function part(values: ArrayLike<number>, length: number, batch: number): number[] {
  const start = values.length === length ? 0 : batch * length;
  return Array.from({ length }, (_, i) => values[start + i] ?? Number.NaN);
}

/** `activation(x Wᵀ + bias) + residual` in float64. */
export function linearReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  size: { rows: number; inputs: number; outputs: number },
  epilogue: { bias?: ArrayLike<number> | undefined; gelu?: boolean; residual?: ArrayLike<number> | undefined } = {},
): Float64Array {
  const { rows, inputs, outputs } = size;
  const product = matmulReference(x, weight, { rows, columns: outputs, depth: inputs, transposeB: true });
  return product.map((sum, i) => {
    const value = sum + (epilogue.bias?.[i % outputs] ?? 0);
    const active = epilogue.gelu ? (value * (1 + erfReference(value / Math.SQRT2))) / 2 : value;
    return active + (epilogue.residual?.[i] ?? 0);
  });
}

/** erf to float64 accuracy: Maclaurin series below 3, continued fraction of erfc above (Abramowitz–Stegun 7.1.5, 7.1.14). */
export function erfReference(x: number): number {
  const u = Math.abs(x);
  if (u > 6) return Math.sign(x);
  if (u > 3) {
    let fraction = 0;
    for (let k = 60; k >= 1; k--) fraction = k / 2 / (u + fraction);
    return Math.sign(x) * (1 - Math.exp(-u * u) / (Math.sqrt(Math.PI) * (u + fraction)));
  }
  let term = x;
  let sum = x;
  for (let n = 1; n < 100; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}
