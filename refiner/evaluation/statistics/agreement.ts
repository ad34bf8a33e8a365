import type { Contingency } from "./contingency.ts";

/** Entropy in nats of a split of `total` samples into parts. */
export function entropy(sizes: Float64Array, total: number): number {
  return sizes.reduce((sum, size) => (size > 0 ? sum - (size / total) * Math.log(size / total) : sum), 0);
}

/** Mutual information of clusters and classes in nats. */
export function mutualInformation(table: Contingency): number {
  const { classes, total, counts, clusterSizes, classSizes } = table;
  const sum = counts.reduce((information, count, at) => {
    if (count === 0) return information;
    const expected = ((clusterSizes[Math.floor(at / classes)] ?? 0) * (classSizes[at % classes] ?? 0)) / total;
    return information + (count / total) * Math.log(count / expected);
  }, 0);
  return Math.max(sum, 0); // 0 up to rounding for independent splits
}

/** What two entropies are averaged to, to compare information with; the larger and the smaller one bound the means. */
export type EntropyMean = "arithmetic" | "geometric" | "max" | "min";

/**
 * Normalised mutual information: mutual information over a mean of both entropies (Strehl and Ghosh, Cluster ensembles, 2002).
 * 1 if neither split divides the samples, 0 if only one of them does not.
 */
export function normalisedMutualInformation(table: Contingency, mean: EntropyMean = "arithmetic"): number {
  const [ofClusters, ofClasses] = entropies(table);
  if (ofClusters === 0 && ofClasses === 0) return 1;
  const bound = meanEntropy(ofClusters, ofClasses, mean);
  return bound === 0 ? 0 : mutualInformation(table) / bound;
}

function meanEntropy(ofClusters: number, ofClasses: number, mean: EntropyMean): number {
  switch (mean) {
    case "arithmetic":
      return (ofClusters + ofClasses) / 2;
    case "geometric":
      return Math.sqrt(ofClusters * ofClasses);
    case "max":
      return Math.max(ofClusters, ofClasses);
    case "min":
      return Math.min(ofClusters, ofClasses);
  }
}

/** Share of the samples that are of the most frequent class of their cluster. 1 where every sample is a cluster of its own. */
export function purity({ clusters, classes, counts, total }: Contingency): number {
  let sum = 0;
  for (let cluster = 0; cluster < clusters; cluster++)
    sum += counts
      .subarray(cluster * classes, (cluster + 1) * classes)
      .reduce((most, count) => Math.max(most, count), 0);
  return sum / total;
}

/** Share of the classes' entropy that the clusters explain (Rosenberg and Hirschberg, V-measure, 2007). */
export function homogeneity(table: Contingency): number {
  const [, ofClasses] = entropies(table);
  return ofClasses === 0 ? 1 : mutualInformation(table) / ofClasses;
}

/** Share of the clusters' entropy that the classes explain (V-measure). */
export function completeness(table: Contingency): number {
  const [ofClusters] = entropies(table);
  return ofClusters === 0 ? 1 : mutualInformation(table) / ofClusters;
}

/**
 * Mutual information adjusted for chance: 0 is what random splits of the same sizes reach on average, 1 is identity
 * (Vinh, Epps and Bailey, Information theoretic measures for clusterings comparison, 2010).
 */
export function adjustedMutualInformation(table: Contingency, mean: EntropyMean = "arithmetic"): number {
  const [ofClusters, ofClasses] = entropies(table);
  if (ofClusters === 0 && ofClasses === 0) return 1;
  if (isIdentity(table)) return 1; // also where chance reaches as much, as with every sample apart
  const byChance = expectedMutualInformation(table);
  const range = meanEntropy(ofClusters, ofClasses, mean) - byChance;
  // Where every split reaches the same information (all samples apart, say), only rounding is left of both differences.
  const smallest = 1e-15;
  const scale = range < 0 ? Math.min(range, -smallest) : Math.max(range, smallest);
  return (mutualInformation(table) - byChance) / scale;
}

/**
 * Rand index adjusted for chance: agreement on pairs of samples (Hubert and Arabie, Comparing partitions, 1985).
 * 1 for equal splits, 0 on average for random ones.
 */
export function adjustedRandIndex(table: Contingency): number {
  const pairs = (sizes: Float64Array): number => sizes.reduce((sum, size) => sum + (size * (size - 1)) / 2, 0);
  const together = pairs(table.counts);
  const inClusters = pairs(table.clusterSizes);
  const inClasses = pairs(table.classSizes);
  if (together === inClusters && together === inClasses) return 1; // no pair is judged differently
  const byChance = (inClusters * inClasses) / ((table.total * (table.total - 1)) / 2);
  return (together - byChance) / ((inClusters + inClasses) / 2 - byChance);
}

/** Whether clusters and classes are the same split: every cell that holds samples holds a whole cluster and a whole class. */
function isIdentity({ counts, classes, clusterSizes, classSizes }: Contingency): boolean {
  return counts.every(
    (count, at) =>
      count === 0 || (count === clusterSizes[Math.floor(at / classes)] && count === classSizes[at % classes]),
  );
}

function entropies(table: Contingency): [ofClusters: number, ofClasses: number] {
  return [entropy(table.clusterSizes, table.total), entropy(table.classSizes, table.total)];
}

/** Mutual information that random splits of the same sizes reach on average (equation 24a of Vinh et al.: cells are hypergeometric). */
export function expectedMutualInformation({ clusterSizes, classSizes, total }: Contingency): number {
  const logFactorial = new Float64Array(total + 1);
  for (let n = 2; n <= total; n++) logFactorial[n] = (logFactorial[n - 1] ?? 0) + Math.log(n);
  const log = (n: number): number => logFactorial[n] ?? 0;
  let expected = 0;
  for (const a of clusterSizes) {
    for (const b of classSizes) {
      const margins = log(a) + log(b) + log(total - a) + log(total - b) - log(total);
      for (let count = Math.max(1, a + b - total); count <= Math.min(a, b); count++) {
        const cells = log(count) + log(a - count) + log(b - count) + log(total - a - b + count);
        expected += (count / total) * Math.log((count / a) * (total / b)) * Math.exp(margins - cells);
      }
    }
  }
  return expected;
}
