import { createHash } from "node:crypto";
import { generator } from "../engine/files/mutate.ts";

/** A seed of 32 bits from that of the campaign and whatever tells one case from the others. */
export function seedOf(seed: number, ...parts: readonly (string | number)[]): number {
  return createHash("sha256")
    .update([seed, ...parts].join("\0"))
    .digest()
    .readUInt32LE();
}

/** Draws for one case, the same whenever it is repeated. */
export class Draws {
  readonly #below: (below: number) => number;

  constructor(seed: number, ...parts: readonly (string | number)[]) {
    this.#below = generator(seedOf(seed, ...parts));
  }

  /** A whole number from 0 on, below the given one. */
  below(limit: number): number {
    return this.#below(limit);
  }

  /** A number from 0 to 1. */
  share(): number {
    return this.#below(2 ** 30) / 2 ** 30;
  }

  of<T>(first: T, ...others: readonly T[]): T {
    return [first, ...others][this.#below(others.length + 1)] ?? first;
  }
}
