import { RandomStream } from "./shuffle_random.ts";

/**
 * The order in which an epoch visits `length` images: a uniform permutation that depends on its arguments only.
 *
 * @returns `[length]`, each of 0 … length - 1 once
 */
export function epochOrder(length: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length }, (_, index) => index);
  const random = new RandomStream(seed, "epoch order", epoch);
  for (let last = length - 1; last > 0; last--) {
    const chosen = random.below(last + 1);
    const kept = order[last] ?? 0;
    order[last] = order[chosen] ?? 0;
    order[chosen] = kept;
  }
  return order;
}
