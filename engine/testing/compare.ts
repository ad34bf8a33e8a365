/** Unit round-off of f32: half the distance from 1 to the next number (24-bit mantissa). */
export const roundOff = 2 ** -24;

/**
 * Bound on |a − b| / max|b| for a result of `roundings` successive f32 roundings: each may err by one unit round-off, and
 * the factor 2 covers that both operands of an operation carry errors.
 */
export function toleranceOf(roundings: number): number {
  return 2 * roundings * roundOff;
}

/** max |a − b| / max(max|b|, floor). NaN in `a` counts as infinite error. */
export function maxError(actual: ArrayLike<number>, expected: ArrayLike<number>, floor = 1e-6): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let largest = floor;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? Number.NaN));
    worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
    largest = Math.max(largest, Math.abs(expected[i] ?? 0));
  }
  return worst / largest;
}

/** @throws Error that names what differs, by how much, and the bound */
export function expectClose(
  what: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: number,
  floor?: number,
): void {
  const error = maxError(actual, expected, floor);
  if (!(error <= bound)) {
    const worst = worstIndex(actual, expected);
    throw new Error(
      `${what}: error ${error.toExponential(3)} exceeds the bound ${bound.toExponential(3)}; element ${worst} is ${actual[worst]}, expected ${expected[worst]} (lengths ${actual.length}, ${expected.length})`,
    );
  }
}

function worstIndex(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let worst = 0;
  let largest = -1;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? 0));
    if (Number.isNaN(difference)) return i;
    if (difference > largest) {
      largest = difference;
      worst = i;
    }
  }
  return worst;
}
