import type { GoldenCase } from "./fixture.ts";

/** Compares a result with a stored tensor by an absolute bound, stated relative to the largest stored value. */
export async function compareAbsolute(
  golden: GoldenCase,
  tensor: string,
  actual: ArrayLike<number>,
  bound: number,
): Promise<void> {
  addAbsolute(golden, tensor, actual, await golden.floats(tensor), bound);
}

/** Compares a result with values by an absolute bound, stated relative to the largest of them. */
export function addAbsolute(
  golden: GoldenCase,
  tensor: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: number,
): void {
  const largest = Array.from(expected).reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  golden.add(tensor, actual, expected, bound / largest);
}
