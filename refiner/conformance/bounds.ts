import type { Precision } from "../../models/index.ts";

/** Bounds that hold for all cases: forward values, gradients, and indices, which must be equal. */
export const goldenBounds = { forward: 1e-5, gradient: 1e-4, exact: 0 } as const;

/** Bounds of what a model of some blocks computes. */
export interface ModelBounds {
  readonly forward: number;
  readonly gradient: number;
}

/** Unit round-off of f16: half the distance from 1 to the next number (11-bit mantissa). */
const halfRoundOff = 2 ** -11;
/** Roundings to f16 along the residual stream of one block: seven stored results and the weights of four products. */
const roundingsPerBlock = 11;
/** Pixels, patch weights, patch embedding, assembled tokens, last norm; in a decoder its embedding and its result. */
const otherRoundings = 5;

/**
 * Bounds in a precision. In f16 each rounding errs by up to u = 2⁻¹¹ of a value, uniformly, so by u / √3 as a standard deviation,
 * and n independent ones by √(n / 3) u; four standard deviations cover the largest of thousands of values. A gradient meets the
 * errors of the forward values, those of its own way back, and those of the forward values again where it is multiplied by them.
 */
export function modelBounds(precision: Precision, blocks: number): ModelBounds {
  if (precision === "f32") return goldenBounds;
  const largest = (roundings: number): number => 4 * Math.sqrt(roundings / 3) * halfRoundOff;
  const roundings = roundingsPerBlock * blocks + otherRoundings;
  return { forward: largest(roundings), gradient: largest(3 * roundings) };
}

/**
 * The bound for a gradient. Where the largest stored value is below 1e-6 the exact gradient is zero (a bias in front of a
 * batch norm, for example) and what is stored is round-off; the error is then measured against 1e-6 and may be all of it.
 */
export function gradientBound(expected: ArrayLike<number>, bound: number = goldenBounds.gradient): number {
  const largest = Array.from(expected).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return largest < 1e-6 ? 1 : bound;
}
