import fc from "fast-check";

/** Lengths that break tiles: 1, primes, and both sides of powers of two, up to `max`. */
export function oddLength(max: number): fc.Arbitrary<number> {
  const edges = [
    1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 37, 63, 64, 65, 67, 127, 128, 129, 131, 197, 255, 256, 257,
  ];
  return fc.constantFrom(...edges.filter((length) => length <= max));
}

export type ValueKind = "normal" | "zeros" | "large" | "tiny" | "sparse";

/** Kinds of values a kernel must survive. */
export const valueKind: fc.Arbitrary<ValueKind> = fc.constantFrom(
  "normal",
  "normal",
  "zeros",
  "large",
  "tiny",
  "sparse",
);

/** Numbers of one kind from a seed; the same seed gives the same numbers. */
export function valuesOf(kind: ValueKind, seed: number, count: number): Float32Array {
  const random = randomSource(seed);
  return Float32Array.from({ length: count }, () => {
    const value = normal(random);
    if (kind === "zeros") return 0;
    if (kind === "large") return 1e4 * value;
    if (kind === "tiny") return 1e-6 * value;
    return kind === "sparse" && random() < 0.7 ? 0 : value;
  });
}

/** Uniform numbers in [0, 1) from a 32-bit seed (mulberry32). */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
