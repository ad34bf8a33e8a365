import { EvaluationError } from "../core/errors.ts";

const stateWords = 624;
const middleWord = 397;
const twist = 0x9908b0df;
const initialMultiplier = 1812433253;

/**
 * The 32-bit Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998) seeded with a whole number, as PyTorch's generator on the
 * CPU is: published few-shot subsets were drawn with it, so that they can be drawn again. For nothing else: Philox needs no state.
 */
export class MersenneTwister {
  readonly #state = new Uint32Array(stateWords);
  #next = stateWords;

  /** @throws EvaluationError unless the seed is a whole number of 32 bits */
  constructor(seed: number) {
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff)
      throw new EvaluationError(`few-shot subsets: the seed is ${seed}; give a whole number of 0 … 4294967295`);
    this.#state[0] = seed;
    for (let at = 1; at < stateWords; at++) {
      const last = this.#state[at - 1] ?? 0;
      this.#state[at] = Math.imul(initialMultiplier, last ^ (last >>> 30)) + at;
    }
  }

  /** Uniform in 0 … 2³² - 1. */
  word(): number {
    if (this.#next === stateWords) this.#refill();
    let word = this.#state[this.#next++] ?? 0;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  #refill(): void {
    const state = this.#state;
    for (let at = 0; at < stateWords; at++) {
      const joined = ((state[at] ?? 0) & 0x80000000) | ((state[(at + 1) % stateWords] ?? 0) & 0x7fffffff);
      state[at] = (state[(at + middleWord) % stateWords] ?? 0) ^ (joined >>> 1) ^ (joined & 1 ? twist : 0);
    }
    this.#next = 0;
  }

  /** A permutation of 0 … length - 1, drawn as PyTorch's `randperm` draws it on the CPU. */
  permutation(length: number): Uint32Array {
    const order = Uint32Array.from({ length }, (_, at) => at);
    for (let at = 0; at < length - 1; at++) {
      const chosen = at + (this.word() % (length - at));
      const kept = order[at] ?? 0;
      order[at] = order[chosen] ?? 0;
      order[chosen] = kept;
    }
    return order;
  }
}
