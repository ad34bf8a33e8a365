const sweeps = 30; // convergence is quadratic; small matrices need fewer than ten

/**
 * Eigenvalues and eigenvectors of a small symmetric matrix by Jacobi rotations (Golub and Van Loan, Matrix
 * computations, section 8.5).
 *
 * @param matrix - `[size, size]`, row-major
 * @returns values in falling order; vectors `[size, size]`, column j belonging to value j
 */
export function symmetricEigen(matrix: Float64Array): { values: Float64Array; vectors: Float64Array } {
  const size = Math.round(Math.sqrt(matrix.length));
  const a = matrix.slice();
  const vectors = new Float64Array(size * size);
  for (let at = 0; at < size; at++) vectors[at * size + at] = 1;
  for (let sweep = 0; sweep < sweeps; sweep++) {
    let rotated = false;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) rotated = rotate(p, q) || rotated;
    }
    if (!rotated) break;
  }
  const order = Array.from({ length: size }, (_, at) => at).sort((p, q) => diagonal(q) - diagonal(p));
  return {
    values: Float64Array.from(order, diagonal),
    vectors: vectors.map((_, at) => vectors[at - (at % size) + (order[at % size] ?? 0)] ?? 0),
  };

  function diagonal(at: number): number {
    return a[at * size + at] ?? 0;
  }

  // Brings a[p, q] to zero; false where it is so already, up to rounding.
  function rotate(p: number, q: number): boolean {
    const off = a[p * size + q] ?? 0;
    if (Math.abs(off) <= 2 ** -52 * Math.sqrt(Math.abs(diagonal(p) * diagonal(q)))) return false;
    const ratio = (diagonal(q) - diagonal(p)) / (2 * off);
    const tangent = (ratio < 0 ? -1 : 1) / (Math.abs(ratio) + Math.sqrt(1 + ratio * ratio));
    const cosine = 1 / Math.sqrt(1 + tangent * tangent);
    for (let k = 0; k < size; k++) turn(a, k * size + p, k * size + q, cosine, tangent * cosine);
    for (let k = 0; k < size; k++) turn(a, p * size + k, q * size + k, cosine, tangent * cosine);
    for (let k = 0; k < size; k++) turn(vectors, k * size + p, k * size + q, cosine, tangent * cosine);
    return true;
  }
}

function turn(values: Float64Array, p: number, q: number, cosine: number, sine: number): void {
  const first = values[p] ?? 0;
  const second = values[q] ?? 0;
  values[p] = cosine * first - sine * second;
  values[q] = sine * first + cosine * second;
}
