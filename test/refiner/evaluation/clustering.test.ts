import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as evaluation from "../../../refiner/evaluation/index.ts";
import { groupMeans } from "../../../refiner/evaluation/statistics/groups.ts";
import { leastCostMatching } from "../../../refiner/evaluation/statistics/matching.ts";
import golden from "../../fixtures/metrics.json" with { type: "json" };
import { Fixture } from "./fixture.ts";

const fixture = new Fixture("metrics");
const x = fixture.matrix("x");
const labels = fixture.integers("y");
const assignment = fixture.integers("assignment");
const table = evaluation.contingency(assignment, labels);
const expected = golden.clustering;
// Both sides compute in float64 from the same float32 values; sums of up to 180 terms: 12 digits.
const digits = 12;

describe("cluster metrics of the fixture", () => {
  it("count clusters against classes", () => {
    const square = fixture.integers("contingency");
    for (let cluster = 0; cluster < 7; cluster++) {
      const counted = Array.from({ length: 7 }, (_, label) => (label < 5 ? table.counts[cluster * 5 + label] : 0));
      expect(counted).toEqual([...square.subarray(cluster * 7, cluster * 7 + 7)]);
    }
  });

  it.each([
    ["accuracy after optimal matching", evaluation.matchingAccuracy(table).accuracy, expected.cluster_accuracy],
    ["mutual information", evaluation.mutualInformation(table), expected.mutual_information_nats],
    ["NMI, arithmetic", evaluation.normalisedMutualInformation(table), expected.nmi_arithmetic],
    ["NMI, geometric", evaluation.normalisedMutualInformation(table, "geometric"), expected.nmi_geometric],
    ["AMI", evaluation.adjustedMutualInformation(table), expected.ami_arithmetic],
    ["ARI", evaluation.adjustedRandIndex(table), expected.ari],
    ["homogeneity", evaluation.homogeneity(table), expected.homogeneity],
    ["completeness", evaluation.completeness(table), expected.completeness],
    ["silhouette of classes", evaluation.silhouette(x, labels), expected.silhouette_of_classes_euclidean],
    ["cosine silhouette", evaluation.silhouette(x, labels, "cosine"), expected.silhouette_of_classes_cosine],
    ["silhouette of clusters", evaluation.silhouette(x, assignment), expected.silhouette_of_clusters_euclidean],
    ["Calinski–Harabasz of classes", evaluation.calinskiHarabasz(x, labels), expected.calinski_harabasz_of_classes],
    [
      "Calinski–Harabasz of clusters",
      evaluation.calinskiHarabasz(x, assignment),
      expected.calinski_harabasz_of_clusters,
    ],
    ["Davies–Bouldin of classes", evaluation.daviesBouldin(x, labels), expected.davies_bouldin_of_classes],
    ["Davies–Bouldin of clusters", evaluation.daviesBouldin(x, assignment), expected.davies_bouldin_of_clusters],
  ])("agree in %s", (_, value, reference) => {
    expect(Math.abs(value - reference) / Math.abs(reference)).toBeLessThan(10 ** -digits);
  });

  it("agree in the silhouette of each sample", () => {
    const reference = fixture.matrix("silhouette_samples_of_classes").data;
    const samples = evaluation.silhouetteSamples(x, labels);
    // The reference is stored in float32: half a unit in the last place of values below 1.
    samples.forEach((value, row) => {
      expect(Math.abs(value - (reference[row] ?? 0))).toBeLessThan(2 ** -24);
    });
  });

  it("match each cluster to a class as one optimal matching does", () => {
    const columns = fixture.integers("hungarian_columns");
    const { classOfCluster } = evaluation.matchingAccuracy(table);
    const found = classOfCluster.filter((label) => label >= 0);
    expect([...classOfCluster]).toEqual(Array.from(columns, (label) => (label < 5 ? label : -1)));
    expect(new Set(found).size).toBe(5);
  });
});

describe("edge cases", () => {
  const permuted = evaluation.contingency(
    labels.map((label) => (label + 2) % 5),
    labels,
  );
  const single = evaluation.contingency(new Int32Array(labels.length), labels);

  it("permuted labels agree fully", () => {
    expect(evaluation.adjustedRandIndex(permuted)).toBe(golden.clustering.edge.permuted_labels.ari);
    expect(evaluation.normalisedMutualInformation(permuted)).toBeCloseTo(
      golden.clustering.edge.permuted_labels.nmi,
      digits,
    );
    expect(evaluation.adjustedMutualInformation(permuted)).toBeCloseTo(1, digits);
    expect(evaluation.matchingAccuracy(permuted).accuracy).toBe(1);
  });

  it("a single cluster says nothing", () => {
    expect(evaluation.adjustedRandIndex(single)).toBe(golden.clustering.edge.one_cluster.ari);
    expect(evaluation.normalisedMutualInformation(single)).toBe(golden.clustering.edge.one_cluster.nmi);
    expect(evaluation.adjustedMutualInformation(single)).toBeCloseTo(0, digits);
  });

  it("two undivided splits agree fully", () => {
    const both = evaluation.contingency([0, 0, 0], [0, 0, 0]);
    expect(evaluation.normalisedMutualInformation(both)).toBe(1);
    expect(evaluation.adjustedMutualInformation(both)).toBe(1);
    expect(evaluation.adjustedRandIndex(both)).toBe(1);
  });

  it("the silhouette of a sample alone in its group is 0", () => {
    const points = { rows: 3, columns: 1, data: Float64Array.of(0, 1, 9) };
    // First sample: a = 1, b = 9; second: a = 1, b = 8.
    expect([...evaluation.silhouetteSamples(points, [0, 0, 1])]).toEqual([8 / 9, 7 / 8, 0]);
  });

  it("a silhouette of one group is refused", () => {
    expect(() => evaluation.silhouette(x, new Int32Array(x.rows))).toThrow(/1 groups of 180 rows/);
  });

  it("negative labels are refused", () => {
    expect(() => evaluation.contingency([0, -1], [0, 1])).toThrow(/label -1 of row 1/);
  });
});

describe("leastCostMatching", () => {
  const permutations = (size: number): number[][] =>
    size === 0
      ? [[]]
      : permutations(size - 1).flatMap((rest) =>
          Array.from({ length: size }, (_, at) => [...rest.slice(0, at), size - 1, ...rest.slice(at)]),
        );

  it("costs no more than any permutation", () => {
    const matrices = fc
      .integer({ min: 1, max: 6 })
      .chain((size) => fc.array(fc.integer({ min: -20, max: 20 }), { minLength: size * size, maxLength: size * size }));
    fc.assert(
      fc.property(matrices, (values) => {
        const size = Math.sqrt(values.length);
        const cost = (columns: ArrayLike<number>) =>
          Array.from({ length: size }, (_, row) => values[row * size + (columns[row] ?? 0)] ?? 0).reduce(
            (a, b) => a + b,
            0,
          );
        const matched = leastCostMatching(Float64Array.from(values), size);
        expect(new Set(matched).size).toBe(size);
        expect(cost(matched)).toBe(Math.min(...permutations(size).map(cost)));
      }),
      { numRuns: 200 },
    );
  });
});

describe("nearestCentroids", () => {
  const centroids = fixture.matrix("centroids");

  it("assigns rows to the fixture's nearest centroids, with its inertia", () => {
    const { assignment: found, distances } = evaluation.nearestCentroids(x, centroids);
    expect([...found]).toEqual([...assignment]);
    const inertia = distances.reduce((sum, distance) => sum + distance, 0);
    expect(inertia / expected.inertia).toBeCloseTo(1, 6); // the fixture's value was summed in float32
  });
});

describe("groupMeans", () => {
  it("are the fixture's centroids after one iteration", () => {
    const reference = fixture.matrix("centroids_after_one_iteration").data;
    groupMeans(x, assignment, 7).data.forEach((value, at) => {
      // Float32 means of at most 64 rows: 64 roundings of values below 8 in the worst case.
      expect(Math.abs(value - (reference[at] ?? 0))).toBeLessThan(64 * 8 * 2 ** -24);
    });
  });
});

describe("members nearest to their centre", () => {
  const points = { rows: 7, columns: 1, data: Float64Array.from([0, 1, 2, 3, 10, 11, 30]) };
  const centroids = { rows: 4, columns: 1, data: Float64Array.from([1.5, 10.5, 20, 30]) };

  it("are in the order of their distance, of equals the first row, and none for an empty cluster", () => {
    const clusters = Int32Array.from([0, 0, 0, 0, 1, 1, 3]);
    const found = evaluation.nearestMembers(points, { centroids, assignment: clusters }, 3);
    expect(found.map((rows) => [...rows])).toEqual([[1, 2, 0], [4, 5], [], [6]]);
  });

  it("refuse centres of other features", () => {
    expect(() => evaluation.nearestMembers(points, { centroids, assignment: new Int32Array(6) }, 3)).toThrow(
      /6 rows were clustered .* the features are \[7, 1\]/,
    );
  });
});
