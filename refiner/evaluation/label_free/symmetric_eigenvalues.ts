const mostSweeps = 60; // per eigenvalue; the shifted iteration converges cubically, a few are enough

/**
 * Eigenvalues of a symmetric matrix: Householder's reduction to tridiagonal form, then implicit QL steps with Wilkinson's shift
 * (Golub and Van Loan, Matrix computations, sections 8.3.1 and 8.3.3). Time grows with 4/3 size³.
 *
 * @param matrix - `[size, size]`; overwritten
 * @returns in no order
 */
export function symmetricEigenvalues(matrix: Float64Array, size: number): Float64Array {
  const off = new Float64Array(size);
  for (let last = size - 1; last > 0; last--) off[last] = reflect(matrix, size, last);
  const diagonal = Float64Array.from({ length: size }, (_, at) => matrix[at * size + at] ?? 0);
  off.copyWithin(0, 1); // off[i] couples i and i + 1
  off[size - 1] = 0;
  for (let first = 0; first < size; first++) settle(diagonal, off, first);
  return diagonal;
}

/** Brings row `last` left of the diagonal to a single entry by a reflection of the leading block. @returns that entry */
function reflect(matrix: Float64Array, size: number, last: number): number {
  const row = matrix.subarray(last * size, last * size + last);
  const scale = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (scale === 0 || last === 1) return row[last - 1] ?? 0;
  const u = row.map((value) => value / scale);
  const pivot = u[last - 1] ?? 0;
  const length = Math.sqrt(dot(u, u));
  const entry = pivot > 0 ? -length : length;
  u[last - 1] = pivot - entry;
  const half = dot(u, u) / 2;
  if (half === 0) return scale * entry;
  eliminate(matrix, size, u, half);
  return scale * entry;
}

/** The leading block A becomes A - u qᵀ - q uᵀ with p = A u / h and q = p - (uᵀp / 2h) u, where h = |u|² / 2. */
function eliminate(matrix: Float64Array, size: number, u: Float64Array, half: number): void {
  const p = u.map((_, i) => dot(matrix.subarray(i * size, i * size + u.length), u) / half);
  const share = dot(p, u) / (2 * half);
  const q = p.map((value, i) => value - share * (u[i] ?? 0));
  for (let i = 0; i < u.length; i++) {
    for (let j = 0; j < u.length; j++) {
      const at = i * size + j;
      matrix[at] = (matrix[at] ?? 0) - (u[i] ?? 0) * (q[j] ?? 0) - (q[i] ?? 0) * (u[j] ?? 0);
    }
  }
}

/** QL steps until `diagonal[first]` stands alone. */
function settle(diagonal: Float64Array, off: Float64Array, first: number): void {
  for (let sweep = 0; sweep < mostSweeps; sweep++) {
    let end = first;
    while (end < diagonal.length - 1 && !isNegligible(diagonal, off, end)) end++;
    if (end === first) return;
    step(diagonal, off, first, end);
  }
}

function isNegligible(diagonal: Float64Array, off: Float64Array, at: number): boolean {
  const scale = Math.abs(diagonal[at] ?? 0) + Math.abs(diagonal[at + 1] ?? 0);
  return Math.abs(off[at] ?? 0) <= Number.EPSILON * scale;
}

function step(diagonal: Float64Array, off: Float64Array, first: number, end: number): void {
  const coupling = off[first] ?? 0;
  const slope = ((diagonal[first + 1] ?? 0) - (diagonal[first] ?? 0)) / (2 * coupling);
  const root = Math.hypot(slope, 1);
  let g = (diagonal[end] ?? 0) - (diagonal[first] ?? 0) + coupling / (slope + (slope < 0 ? -root : root));
  let [sine, cosine, shift] = [1, 1, 0];
  for (let at = end - 1; at >= first; at--) {
    const f = sine * (off[at] ?? 0);
    const b = cosine * (off[at] ?? 0);
    const length = Math.hypot(f, g);
    off[at + 1] = length;
    if (length === 0) {
      diagonal[at + 1] = (diagonal[at + 1] ?? 0) - shift;
      off[end] = 0;
      return;
    }
    sine = f / length;
    cosine = g / length;
    g = (diagonal[at + 1] ?? 0) - shift;
    const turned = ((diagonal[at] ?? 0) - g) * sine + 2 * cosine * b;
    shift = sine * turned;
    diagonal[at + 1] = g + shift;
    g = cosine * turned - b;
  }
  diagonal[first] = (diagonal[first] ?? 0) - shift;
  off[first] = g;
  off[end] = 0;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += (a[at] ?? 0) * (b[at] ?? 0);
  return sum;
}
