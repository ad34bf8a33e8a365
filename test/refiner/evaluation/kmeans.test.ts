import { describe, expect, it } from "vitest";
import { emptyClusters, fillEmptyClusters } from "../../../refiner/evaluation/clustering/empty_clusters.ts";
import * as evaluation from "../../../refiner/evaluation/index.ts";
import { groupMeans } from "../../../refiner/evaluation/statistics/groups.ts";
import { testDevice } from "../../device.ts";
import { scatteredRows } from "./scattered_rows.ts";

const device = await testDevice();
const x = scatteredRows(180, 6, 12);

/** Lloyd's iterations in float64, with the rule for empty clusters. */
function lloyd(features: evaluation.FeatureMatrix, start: evaluation.FeatureMatrix, iterations: number) {
  let centroids = start;
  let { assignment } = evaluation.nearestCentroids(features, centroids);
  for (let i = 0; i < iterations; i++) {
    fillEmptyClusters(features, assignment, centroids);
    centroids = groupMeans(features, assignment, start.rows);
    ({ assignment } = evaluation.nearestCentroids(features, centroids));
  }
  return { centroids, assignment };
}

describe("kMeans", () => {
  it("finds well separated groups, whatever the seed", async () => {
    const data = Float64Array.from({ length: 60 }, (_, row) => (row % 3) * 100 + row / 60);
    for (const seed of [0, 1, 2]) {
      const found = await evaluation.kMeans(device, { rows: 60, columns: 1, data }, { clusters: 3, seed });
      const truth = Array.from({ length: 60 }, (_, row) => row % 3);
      expect(evaluation.adjustedRandIndex(evaluation.contingency(found.assignment, truth))).toBe(1);
    }
  });

  it("gives the same result for the same seed", async () => {
    const options = { clusters: 7, seed: 3, restarts: 2 };
    expect(await evaluation.kMeans(device, x, options)).toEqual(await evaluation.kMeans(device, x, options));
  });

  it("keeps the start of least inertia and tells of all of them", async () => {
    const found = await evaluation.kMeans(device, x, { clusters: 7, seed: 3, restarts: 18 });
    expect(found.runs.length).toBe(18);
    expect(found.inertia).toBe(Math.min(...found.runs.map(({ inertia }) => inertia)));
    expect(new Set(found.runs.map(({ inertia }) => inertia)).size).toBeGreaterThan(1);
  });

  it("uses every cluster where rows coincide", async () => {
    const data = Float64Array.of(1, 1, 1, 1, 5);
    const found = await evaluation.kMeans(device, { rows: 5, columns: 1, data }, { clusters: 2, seed: 0 });
    expect(new Set(found.assignment).size).toBe(2);
    expect(found.inertia).toBe(0);
  });

  it("revives a cluster that has lost its rows", async () => {
    const points = { rows: 4, columns: 1, data: Float64Array.of(0, 1, 10, 11) };
    const start = { rows: 3, columns: 1, data: Float64Array.of(0, 1e6, 10) };
    const found = await evaluation.kMeans(device, points, { clusters: 3, seed: 0, start });
    expect(new Set(found.assignment).size).toBe(3);
    expect(found.inertia).toBe(0.5); // one pair split, the other around its middle
  });

  it("lets a row between two centroids belong to the first", async () => {
    const points = { rows: 3, columns: 1, data: Float64Array.of(0, 1, 2) };
    const start = { rows: 2, columns: 1, data: Float64Array.of(2, 0) };
    const found = await evaluation.kMeans(device, points, { clusters: 2, seed: 0, start, maxIterations: 1 });
    expect([...found.centroids.data]).toEqual([1.5, 0]); // the row at 1 went to the centroid at 2
  });

  it.each([
    ["several chunks of rows", { rows: 17000, columns: 3, clusters: 5 }],
    ["one cluster", { rows: 40, columns: 2, clusters: 1 }],
    ["every row a cluster", { rows: 12, columns: 2, clusters: 12 }],
  ])("agrees with float64 for %s", async (_, { rows, columns, clusters }) => {
    const features = scatteredRows(rows, columns, 1);
    const start = { rows: clusters, columns, data: features.data.slice(0, clusters * columns) };
    const found = await evaluation.kMeans(device, features, { clusters, seed: 0, start, maxIterations: 3 });
    const expected = lloyd(features, start, found.iterations);
    const differing = expected.assignment.filter((cluster, row) => cluster !== found.assignment[row]).length;
    expect(differing / rows).toBeLessThan(1e-3); // rows that lie between two centroids up to rounding
    // Values below 1; sums of 2048 rows in float32 err by 2048 · 2⁻²⁴ of their mean at worst, and a moved row by 1 / size.
    found.centroids.data.forEach((value, at) => {
      expect(Math.abs(value - (expected.centroids.data[at] ?? 0))).toBeLessThan(
        2048 * 2 ** -24 + (clusters * differing) / rows,
      );
    });
  });

  it("keeps digits where features lie far from zero", async () => {
    // Two groups 1e-3 apart at 1000: squares in float32 would err by 0.06.
    const data = Float64Array.from({ length: 40 }, (_, row) => 1000 + (row % 2) * 1e-3 + row * 1e-6);
    const found = await evaluation.kMeans(device, { rows: 40, columns: 1, data }, { clusters: 2, seed: 0 });
    const truth = Array.from({ length: 40 }, (_, row) => row % 2);
    expect(evaluation.adjustedRandIndex(evaluation.contingency(found.assignment, truth))).toBe(1);
  });

  it("works for features of any magnitude", async () => {
    for (const scale of [1e-30, 1e30]) {
      const data = Float64Array.from({ length: 40 }, (_, row) => scale * ((row % 2) + row / 1000));
      const found = await evaluation.kMeans(device, { rows: 40, columns: 1, data }, { clusters: 2, seed: 0 });
      expect(
        evaluation.adjustedRandIndex(
          evaluation.contingency(
            found.assignment,
            data.map((_, row) => row % 2),
          ),
        ),
      ).toBe(1);
    }
  });

  it("says whether the assignment repeated itself", async () => {
    const options = { clusters: 7, seed: 3, restarts: 1 };
    expect((await evaluation.kMeans(device, x, { ...options, maxIterations: 1 })).converged).toBe(false);
    expect((await evaluation.kMeans(device, x, options)).converged).toBe(true);
  });

  it("takes the memory on the device that its plan states", async () => {
    const features = scatteredRows(20000, 32, 2);
    const before = device.counters.heldBytes;
    const search = new evaluation.KMeansSearch(device, features);
    const planned = search.memory(50).total;
    const start = { rows: 50, columns: 32, data: features.data.slice(0, 50 * 32) };
    await search.run({ clusters: 50, seed: 0, start, maxIterations: 2 });
    const held = device.counters.heldBytes - before;
    search.destroy();
    expect(planned).toBeGreaterThan(4 * 20000 * 32);
    expect(held / planned).toBeGreaterThan(0.95);
    expect(held / planned).toBeLessThan(1.05);
    expect(device.counters.heldBytes - before).toBeLessThan(0.05 * planned); // only buffers for reading back stay
  });

  it("refuses more clusters than there are different rows", async () => {
    const points = { rows: 4, columns: 1, data: Float64Array.of(1, 1, 5, 5) };
    await expect(evaluation.kMeans(device, points, { clusters: 3, seed: 0 })).rejects.toThrow(/only 2 differ/);
  });

  it("refuses more clusters than rows", async () => {
    await expect(evaluation.kMeans(device, x, { clusters: 181, seed: 0 })).rejects.toThrow(/181 clusters for 180 rows/);
  });

  it("refuses features that are not finite, and a start of another size", async () => {
    const damaged = { rows: 2, columns: 1, data: Float32Array.of(1, Number.NaN) };
    await expect(evaluation.kMeans(device, damaged, { clusters: 1, seed: 0 })).rejects.toThrow(/row 1 of the features/);
    const start = { rows: 2, columns: 1, data: Float32Array.of(1, 2) };
    await expect(evaluation.kMeans(device, x, { clusters: 2, seed: 0, start })).rejects.toThrow(/start of 2 × 1/);
  });

  it("refuses no restarts", async () => {
    await expect(evaluation.kMeans(device, x, { clusters: 2, seed: 0, restarts: 0 })).rejects.toThrow(/0 restarts/);
  });
});

describe("fillEmptyClusters", () => {
  it("gives the farthest row to the first empty cluster, the first of equals", () => {
    const points = { rows: 5, columns: 1, data: Float64Array.of(0, 3, -3, 1, 5) };
    const centroids = { rows: 3, columns: 1, data: Float64Array.of(0, 100, 200) };
    const assignment = new Int32Array(5);
    expect(emptyClusters(assignment, 3)).toEqual([1, 2]);
    expect(fillEmptyClusters(points, assignment, centroids)).toEqual([
      { row: 4, from: 0, to: 1 },
      { row: 1, from: 0, to: 2 },
    ]);
    expect([...assignment]).toEqual([0, 2, 0, 0, 1]);
  });

  it("leaves a cluster empty where all rows lie on their centroids", () => {
    const points = { rows: 2, columns: 1, data: Float64Array.of(1, 1) };
    const centroids = { rows: 2, columns: 1, data: Float64Array.of(1, 9) };
    expect(fillEmptyClusters(points, new Int32Array(2), centroids)).toEqual([]);
  });
});

describe("clusterCurve", () => {
  it("has its highest silhouette at the number of groups, and a falling inertia", async () => {
    const data = Float32Array.from(
      { length: 120 },
      (_, at) => ((Math.floor(at / 2) % 3) * 10 + (at % 7) / 7) * (at % 2 === 0 ? 1 : -1),
    );
    const points = await evaluation.clusterCurve(device, { rows: 60, columns: 2, data }, [1, 2, 3, 4, 5], {
      seed: 0,
      restarts: 4,
    });
    expect(points.map(({ clusters }) => clusters)).toEqual([1, 2, 3, 4, 5]);
    expect(points[0]?.silhouette).toBeUndefined();
    const best = points.reduce((a, b) => ((b.silhouette ?? -1) > (a.silhouette ?? -1) ? b : a));
    expect(best.clusters).toBe(3);
    points.slice(1).forEach(({ inertia }, at) => {
      expect(inertia).toBeLessThan(points[at]?.inertia ?? 0);
    });
  });
});

describe("silhouetteSamplesOnDevice", () => {
  it.each([
    ["groups of unlike sizes", 300, 5, (row: number) => (row < 11 ? 0 : row < 12 ? 7 : 3 + (row % 2))],
    ["more queries than one chunk", 4200, 2, (row: number) => row % 3],
    ["rows that coincide", 64, 3, (row: number) => row % 2],
  ])("agrees with float64 for %s", async (name, rows, columns, labelOf) => {
    const scattered = scatteredRows(rows, columns, 4);
    const features =
      name === "rows that coincide"
        ? { ...scattered, data: scattered.data.map((_, at) => Math.floor(at / (8 * columns))) }
        : scattered;
    const labels = Int32Array.from({ length: rows }, (_, row) => labelOf(row));
    const expected = evaluation.silhouetteSamples(features, labels);
    const found = await evaluation.silhouetteSamplesOnDevice(device, features, labels);
    found.forEach((value, row) => {
      // Distances and their sums, in parts of 256, in float32.
      expect(Math.abs(value - (expected[row] ?? 2))).toBeLessThan(2e-5);
    });
  });

  it("frees its memory, which does not grow with the square of the rows", async () => {
    const features = scatteredRows(4200, 2, 4);
    const labels = Int32Array.from({ length: 4200 }, (_, row) => row % 3);
    const [before, held] = [device.counters.bytes, device.counters.heldBytes];
    await evaluation.silhouetteSamplesOnDevice(device, features, labels);
    expect(device.counters.bytes - before).toBeLessThan(4 * 4200 * 400);
    expect(device.counters.heldBytes - held).toBeLessThan(4 * 4200 * 64);
  });

  it("refuses one group", async () => {
    await expect(evaluation.silhouetteSamplesOnDevice(device, x, new Int32Array(x.rows))).rejects.toThrow(
      /1 groups of 180 rows/,
    );
  });
});

describe("groupSeparation", () => {
  it("leaves rows without a group out, and says nothing of a single group", async () => {
    const features = scatteredRows(40, 3, 5);
    const labels = Array.from({ length: 40 }, (_, row) => (row < 30 ? row % 3 : -1));
    const kept = { rows: 30, columns: 3, data: features.data.slice(0, 90) };
    const expected = evaluation.silhouette(kept, labels.slice(0, 30));
    const found = await evaluation.groupSeparation(device, features, labels);
    expect(Math.abs((found.silhouette ?? 2) - expected)).toBeLessThan(2e-5);
    expect(found.daviesBouldin).toBe(evaluation.daviesBouldin(kept, labels.slice(0, 30)));
    expect(await evaluation.groupSeparation(device, features, labels.fill(0))).toEqual({
      silhouette: undefined,
      daviesBouldin: undefined,
      calinskiHarabasz: undefined,
    });
  });
});

describe("clusterAgreement", () => {
  it("counts labelled rows only", () => {
    const { accuracy, ari, classOfCluster } = evaluation.clusterAgreement([1, 1, 0, 0, 0], [0, 0, 1, 1, -1]);
    expect([accuracy, ari, [...classOfCluster]]).toEqual([1, 1, [1, 0]]);
  });

  it("refuses rows of which none has a label", () => {
    expect(() => evaluation.clusterAgreement([0, 1], [-1, -1])).toThrow(/there are no samples/);
  });
});
