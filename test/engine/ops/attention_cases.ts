import fc from "fast-check";
import { oddLength, roundOff, type ValueKind, valuesOf } from "../../../engine/testing/index.ts";
import { attentionReference } from "../../reference/attention.ts";

/** One call of attention on drawn values. */
export interface Case {
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  readonly headDim: number;
  readonly kind: ValueKind;
  readonly seed: number;
}

const headDims = [1, 5, 16, 64, 80, 128];

export function drawCase(longest: number, kinds: readonly ValueKind[], dims = headDims): fc.Arbitrary<Case> {
  return fc.record({
    batch: fc.integer({ min: 1, max: 3 }),
    tokens: oddLength(longest),
    heads: fc.integer({ min: 1, max: 3 }),
    headDim: fc.constantFrom(...dims),
    kind: fc.constantFrom(...kinds),
    seed: fc.integer({ min: 1, max: 2 ** 30 }),
  });
}

export function operandsOf({ batch, tokens, heads, headDim, kind, seed }: Case) {
  const shape = [batch, tokens, 3 * heads * headDim];
  return { qkv: { data: valuesOf(kind, seed, batch * tokens * 3 * heads * headDim), shape } };
}

export function referenceOf({ qkv }: Readonly<Record<string, ArrayLike<number>>>, drawn: Case): Float64Array {
  const { batch, tokens, heads, headDim } = drawn;
  return attentionReference(qkv ?? [], {
    heads,
    headDim,
    scale: headDim ** -0.5,
    images: Array<number>(batch).fill(tokens),
  });
}

/**
 * A score is a sum of headDim products: it errs by (headDim + 2) u Σ|q k| scale, at most about 16 headDim ** 0.5 for the normal
 * values drawn here. A weight errs by that, twice (numerator and sum); exp adds its own 4 u and rounds an argument of up to
 * 32, another 32 u; the sum over tokens rounds tokens times, as a random walk.
 */
export function boundOf({ tokens, headDim }: Case): number {
  const scores = 2 * (headDim ** 0.5 + 2) * 16;
  return (scores + 2 * 36 + 4 * tokens ** 0.5) * roundOff;
}

/**
 * What errors are measured against: each rounding errs in proportion to a weighted |v|, however far the weighted v cancel. So
 * this is the largest result that the magnitudes of v give.
 */
export function magnitudeOf(drawn: Case): number {
  const { data } = operandsOf(drawn).qkv;
  const width = drawn.heads * drawn.headDim;
  const qkv = data.map((value, at) => (at % (3 * width) < 2 * width ? value : Math.abs(value)));
  return referenceOf({ qkv }, drawn).reduce((most, value) => Math.max(most, value), 1e-30); // all zeros have none
}
