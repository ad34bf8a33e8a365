import { type PhiloxBlock, philox } from "../../../engine/core/host_random.ts";

/** Independent uses of one seed; the numbers are part of the format: changing one changes every run. */
export type RandomPurpose = keyof typeof purposes;
const purposes = {
  "epoch order": 1,
  "replacement of a broken image": 2,
  "k-means": 3,
  "principal components": 4,
  mixing: 11,
};

/** A sequence of numbers that depends on (seed, purpose, step) only. */
export class RandomStream {
  readonly #key: readonly [number, number];
  readonly #purpose: number;
  readonly #step: number;
  #drawn = 0;
  #block: PhiloxBlock = [0, 0, 0, 0];

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
      const counter: PhiloxBlock = [block >>> 0, Math.floor(block / 2 ** 32), this.#step >>> 0, this.#purpose];
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
