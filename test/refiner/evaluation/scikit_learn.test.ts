import { describe, expect, it } from "vitest";
import {
  adjustedMutualInformation,
  adjustedRandIndex,
  centredUnitRows,
  contingency,
  type FeatureMatrix,
  fitLogisticRegression,
  groupSeparation,
  kMeans,
  normalisedMutualInformation,
  silhouette,
} from "../../../refiner/evaluation/index.ts";
import { testDevice } from "../../device.ts";
import { runPython } from "../../python.ts";
import { scatteredRows } from "./scattered_rows.ts";

const device = await testDevice();
const packages = { sklearn: "python3-sklearn" };

interface Case {
  readonly name: string;
  readonly x: FeatureMatrix;
  readonly labels: readonly number[];
  readonly clusters: readonly number[];
  /** Rows to begin k-means from. */
  readonly start: readonly number[];
}

/** Reproducible whole numbers below `bound`. */
function draws(count: number, bound: number, seed: number): number[] {
  return Array.from(scatteredRows(count, 1, seed).data, (value) =>
    Math.min(bound - 1, Math.floor(((value + 1) / 2) * bound)),
  );
}

/** 20 cases: 16 random ones, and four degenerate ones. */
function allCases(): Case[] {
  const random = Array.from({ length: 16 }, (_, at): Case => {
    const [rows, columns, classes, clusters] = [20 + 13 * at, 1 + (at % 7), 2 + (at % 5), 2 + (at % 6)];
    const labels = draws(rows, classes, 100 + at);
    const x = scatteredRows(rows, columns, 200 + at);
    // Classes lie apart to a degree that grows with the case.
    const data = x.data.map(
      (value, place) => value + ((at / 8) * (labels[Math.floor(place / columns)] ?? 0)) / (1 + (place % columns)),
    );
    const start = draws(clusters, rows, 300 + at);
    return {
      name: `random ${at}`,
      x: { ...x, data },
      labels,
      clusters: draws(rows, clusters, 400 + at),
      start: [...new Set(start)],
    };
  });
  const x = scatteredRows(30, 4, 7);
  const labels = draws(30, 3, 8);
  const each = [...Array(30).keys()];
  return [
    ...random,
    { name: "all singletons", x, labels, clusters: each, start: each },
    { name: "one cluster", x, labels, clusters: labels.map(() => 0), start: [3] },
    { name: "identical splits", x, labels, clusters: labels, start: [1, 2, 3] },
    { name: "identical up to names", x, labels, clusters: labels.map((label) => 2 - label), start: [4, 5] },
  ];
}

const scoresInPython = `
import numpy as np, warnings
from sklearn.cluster import KMeans
from sklearn import metrics
warnings.simplefilter("ignore")
found = []
for case in given:
    x = np.array(case["x"], dtype=np.float64).reshape(case["rows"], -1)
    clusters, labels = np.array(case["clusters"]), np.array(case["labels"])
    valid = 2 <= len(set(clusters.tolist())) < len(x)
    model = KMeans(n_clusters=len(case["start"]), init=x[case["start"]], n_init=1, tol=0, max_iter=1000, algorithm="lloyd").fit(x)
    found.append(dict(
        nmi=metrics.normalized_mutual_info_score(labels, clusters),
        ami=metrics.adjusted_mutual_info_score(labels, clusters),
        ari=metrics.adjusted_rand_score(labels, clusters),
        silhouette=metrics.silhouette_score(x, clusters) if valid else None,
        inertia=model.inertia_))
print(json.dumps(found))`;

interface Scores {
  readonly nmi: number;
  readonly ami: number;
  readonly ari: number;
  readonly silhouette: number | null;
  readonly inertia: number;
}

describe("scikit-learn", () => {
  it("agrees on NMI, AMI, ARI, silhouette and the inertia of k-means from the same centroids", async (context) => {
    const cases = allCases();
    expect(cases.length).toBe(20);
    const given = cases.map(({ x, labels, clusters, start }) => ({
      rows: x.rows,
      x: [...x.data],
      labels,
      clusters,
      start,
    }));
    const scores = runPython(context, packages, scoresInPython, given) as readonly Scores[];
    for (const [at, { name, x, labels, clusters, start }] of cases.entries()) {
      const theirs = scores[at] ?? expect.fail(`no scores of ${name}`);
      const table = contingency(clusters, labels);
      expect(Math.abs(normalisedMutualInformation(table) - theirs.nmi), `NMI of ${name}`).toBeLessThan(1e-6);
      expect(Math.abs(adjustedMutualInformation(table) - theirs.ami), `AMI of ${name}`).toBeLessThan(1e-6);
      expect(Math.abs(adjustedRandIndex(table) - theirs.ari), `ARI of ${name}`).toBeLessThan(1e-6);
      if (theirs.silhouette !== null) {
        expect(Math.abs(silhouette(x, clusters) - theirs.silhouette), `silhouette of ${name}`).toBeLessThan(1e-6);
        // Distances on the device are float32.
        const separation = await groupSeparation(device, x, clusters);
        expect(
          Math.abs((separation.silhouette ?? 9) - theirs.silhouette),
          `silhouette on the device of ${name}`,
        ).toBeLessThan(2e-5);
      }
      const centroids = {
        rows: start.length,
        columns: x.columns,
        data: Float64Array.from(start.flatMap((row) => [...x.data.subarray(row * x.columns, (row + 1) * x.columns)])),
      };
      const { inertia } = await kMeans(device, x, {
        clusters: start.length,
        seed: 0,
        start: centroids,
        maxIterations: 1000,
      });
      expect(Math.abs(inertia - theirs.inertia), `inertia of ${name}`).toBeLessThanOrEqual(
        1e-6 * theirs.inertia + 1e-9,
      );
    }
  });

  it("agrees on the objective of logistic regression", async (context) => {
    const problems = [
      { rows: 8, columns: 5, classes: 2, l2: 0.00025 / 8 },
      { rows: 30, columns: 14, classes: 6, l2: 0.00025 / 30 },
      { rows: 60, columns: 40, classes: 20, l2: 0.00025 / 60 },
      { rows: 200, columns: 3, classes: 4, l2: 1e-3 },
    ].map((problem, at) => ({
      ...problem,
      x: centredUnitRows(scatteredRows(problem.rows, problem.columns, 500 + at)),
    }));
    const given = problems.map(({ rows, classes, l2, x }) => ({ rows, classes, l2, x: [...x.data] }));
    const theirs = runPython(context, packages, objectiveInPython, given) as readonly number[];
    for (const [at, { rows, classes, l2, x }] of problems.entries()) {
      const labels = Int32Array.from({ length: rows }, (_, row) => row % classes);
      const found = await fitLogisticRegression(device, x, labels, { l2, bias: "none" });
      expect(found.converged).toBe(true);
      expect(Math.abs(found.objective / (theirs[at] ?? 0) - 1)).toBeLessThan(1e-4);
      expect(found.objective).toBeLessThan((theirs[at] ?? 0) * (1 + 1e-6)); // no worse than their minimum
    }
  });
});

const objectiveInPython = `
import numpy as np, warnings
from sklearn.linear_model import LogisticRegression
warnings.simplefilter("ignore")
found = []
for case in given:
    n, k, l2 = case["rows"], case["classes"], case["l2"]
    x = np.array(case["x"]).reshape(n, -1)
    y = np.arange(n) % k
    model = LogisticRegression(C=1 / (l2 * n), fit_intercept=False, multi_class="multinomial", tol=1e-9, max_iter=100000).fit(x, y)
    w = model.coef_ if k > 2 else np.vstack([-model.coef_, model.coef_])
    z = x @ w.T
    top = z.max(1)
    loss = top + np.log(np.exp(z - top[:, None]).sum(1)) - z[np.arange(n), y]
    found.append(float(loss.mean() + l2 / 2 * (w ** 2).sum()))
print(json.dumps(found))`;
