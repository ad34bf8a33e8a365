const multiplier0 = 0xd2511f53; // Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011), table 2
const multiplier1 = 0xcd9e8d57;
const weyl0 = 0x9e3779b9; // golden ratio
const weyl1 = 0xbb67ae85; // sqrt(3) - 1
const rounds = 10;

type Block = readonly [number, number, number, number];

/** Philox4x32-10: four 32-bit words for a counter of four and a key of two words. */
export function philox(counter: Block, key: readonly [number, number]): Block {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < rounds; round++) {
    const high0 = multiplyHigh(multiplier0, c0);
    const high1 = multiplyHigh(multiplier1, c2);
    const low0 = Math.imul(multiplier0, c0);
    const low1 = Math.imul(multiplier1, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + weyl0) >>> 0;
    k1 = (k1 + weyl1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

// Upper 32 bits of a 64-bit product, from 16-bit halves: every partial sum stays below 2^53.
function multiplyHigh(a: number, b: number): number {
  const aHigh = a >>> 16;
  const aLow = a & 0xffff;
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  const middle = aHigh * bLow + Math.floor((aLow * bLow) / 0x10000);
  return (aHigh * bHigh + Math.floor((middle + aLow * bHigh) / 0x10000)) >>> 0;
}

/** Independent uses of one seed; the numbers are part of the format: changing one changes every run. */
export type RandomPurpose = keyof typeof purposes;
const purposes = { "epoch order": 1, "replacement of a broken image": 2, "k-means": 3, "principal components": 4 };

/** A sequence of numbers that depends on (seed, purpose, step) only. */
export class RandomStream {
  readonly #key: readonly [number, number];
  readonly #purpose: number;
  readonly #step: number;
  #drawn = 0;
  #block: Block = [0, 0, 0, 0];

  constructor(seed: number, purpose: RandomPurpose, step = 0) {
    this.#key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
    this.#purpose = purposes[purpose];
    this.#step = step;
  }

  /** Uniform in 0 … 2³² - 1. */
  word(): number {
    const lane = this.#drawn % 4;
    if (lane === 0) {
      const block = this.#drawn / 4;
      const counter: Block = [block >>> 0, Math.floor(block / 2 ** 32), this.#step >>> 0, this.#purpose];
      this.#block = philox(counter, this.#key);
    }
    this.#drawn++;
    return this.#block[lane] ?? 0;
  }

  /** Uniform in 0 … bound - 1, without bias: words past the last whole multiple of `bound` are drawn again. */
  below(bound: number): number {
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let word = this.word();
    while (word >= limit) word = this.word();
    return word % bound;
  }

  /** Uniform in [0, 1), 32 bits. */
  unit(): number {
    return this.word() / 2 ** 32;
  }

  /** Standard normal (Box–Muller). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.unit()));
    return radius * Math.cos(2 * Math.PI * this.unit());
  }
}
