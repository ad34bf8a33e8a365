import { philox, purposeNumber, seedWords } from "../../../engine/core/host_random.ts";
import { fogMap } from "./fog_map.ts";

/** Random numbers of one corruption of one image. */
export interface CorruptionDraws {
  /** Uniform in [0, 1). */
  uniform(): number;
  /** Standard normal. */
  normal(): number;
  /** A count around a mean of 0 … 255 (Poisson). */
  poisson(mean: number): number;
  /** A whole number from `low` on, below `high`. */
  integer(low: number, high: number): number;
  /** A random landscape `[side, side]` on the scale 0 … 1; see `fogMap`. */
  landscape(side: number, decay: number): Float64Array;
}

/** Draws that depend on the seed, the corruption's name, its severity and the image's index, and on nothing else. */
export function corruptionDraws(seed: number, name: string, severity: number, index: number): CorruptionDraws {
  const [key, purpose] = [seedWords(seed), purposeNumber(`corruption ${name}`)];
  let block: readonly number[] = [];
  let used = 0;
  const uniform = (): number => {
    if (used % 4 === 0) block = philox([used / 4, index, severity, purpose], key);
    return ((block[used++ % 4] ?? 0) >>> 8) * 2 ** -24;
  };
  return {
    uniform,
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()), // Box and Muller, 1958
    poisson: (mean) => poisson(mean, uniform),
    integer: (low, high) => low + Math.floor(uniform() * (high - low)),
    landscape: (side, decay) => fogMap(side, decay, uniform),
  };
}

/** By inversion; sums of smaller means, whose first probability is no nothing. */
function poisson(mean: number, uniform: () => number): number {
  if (mean > 30) return poisson(30, uniform) + poisson(mean - 30, uniform);
  let count = 0;
  let probability = Math.exp(-mean);
  let rest = uniform() - probability;
  while (rest >= 0 && count < 1000) {
    count++;
    probability *= mean / count;
    rest -= probability;
  }
  return count;
}
