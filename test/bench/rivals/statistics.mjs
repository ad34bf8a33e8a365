import { uniform } from "./work/inputs.mjs";

/** The value below which the share `q` of the values lies, between neighbours by proportion (type 7 of Hyndman and Fan). */
export function quantile(values, q) {
  const sorted = values.toSorted((a, b) => a - b);
  const place = q * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

export function median(values) {
  return quantile(values, 0.5);
}

export function geometricMean(values) {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** What is told of one work's ratios: the claim (`median`) and how far single rounds stray from it. */
export function spread(ratios) {
  return {
    median: median(ratios),
    lowerQuartile: quantile(ratios, 0.25),
    upperQuartile: quantile(ratios, 0.75),
    least: Math.min(...ratios),
    most: Math.max(...ratios),
  };
}

/**
 * Geometric mean over works of the medians of their ratios, with the range that 95 of 100 repetitions of the
 * benchmark would give if the rounds were drawn anew from those that were seen (bootstrap; Efron 1979).
 * It holds the noise between rounds, not what differs between two starts of a process.
 *
 * @param {number[][]} works - ratios of each work, one per round
 * @returns {{ mean: number, low: number, high: number } | undefined} nothing without works
 */
export function meanOfMedians(works) {
  if (works.length === 0) return undefined;
  const resamples = 1000; // the ends of the range are then off by about a twentieth of its width
  let draws = 0;
  const random = uniform(resamples * works.reduce((sum, { length }) => sum + length, 0), 1);
  const drawn = (ratios) => ratios.map(() => ratios[Math.floor(((random[draws++] + 1) / 2) * ratios.length)]);
  const means = Array.from({ length: resamples }, () => geometricMean(works.map((ratios) => median(drawn(ratios)))));
  return { mean: geometricMean(works.map(median)), low: quantile(means, 0.025), high: quantile(means, 0.975) };
}
