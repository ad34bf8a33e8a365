import { describe, expect, it } from "vitest";
import {
  accuracy,
  featureStatistics,
  fitLogisticRegression,
  logProbabilities,
  mostProbable,
  negativeLogLikelihood,
  standardise,
} from "../../../refiner/evaluation/index.ts";
import { LogisticObjective } from "../../../refiner/evaluation/lowshot/logistic_objective.ts";
import { testDevice } from "../../device.ts";
import golden from "../../fixtures/metrics.json" with { type: "json" };
import { Fixture } from "./fixture.ts";

const device = await testDevice();
const fixture = new Fixture("metrics");
const train = fixture.matrix("logreg/train_x");
const trainLabels = fixture.integers("logreg/train_y");
const testLabels = fixture.integers("logreg/test_y");
const statistics = featureStatistics(train, "biased");
const standardised = (name: string) => {
  const x = fixture.matrix(name);
  return standardise({ ...x, data: Float64Array.from(x.data) }, statistics, 0);
};

const models = await Promise.all(golden.logistic_regression.map(fitted));

function fitted(expected: (typeof golden.logistic_regression)[number]) {
  return fitLogisticRegression(device, standardised("logreg/train_x"), trainLabels, {
    l2: expected.l2,
    bias: expected.fit_intercept ? "unpenalised" : "none",
    tolerance: 1e-7, // weights are compared to 1e-5, their error is the root of the objective's
  });
}

describe.each(golden.logistic_regression.map((expected, at) => ({ ...expected, at })))(
  "logistic regression $name",
  (expected) => {
    const model = models[expected.at] ?? expect.fail("the model was not fitted");
    const trainLogs = logProbabilities(model, standardised("logreg/train_x"));
    const testLogs = logProbabilities(model, standardised("logreg/test_x"));

    it("converges to the fixture's objective", () => {
      expect(model.converged).toBe(true);
      expect(model.objective).toBeCloseTo(expected.objective, 9);
    });

    it("finds the fixture's weights and bias", () => {
      const weight = fixture.matrix(`logreg/${expected.name}/weight`).data;
      const bias = fixture.matrix(`logreg/${expected.name}/bias`).data;
      // The fixture is stored in float32 (values below 4) and was itself minimised to a gradient of about 1e-6.
      const tolerance = 4 * 2 ** -24 + 1e-5;
      model.weight.data.forEach((value, at) => {
        expect(Math.abs(value - (weight[at] ?? 0))).toBeLessThan(tolerance);
      });
      model.bias.forEach((value, at) => {
        expect(Math.abs(value - (bias[at] ?? 0))).toBeLessThan(tolerance);
      });
    });

    it("predicts the fixture's classes with its cross entropies", () => {
      expect([...mostProbable(testLogs)]).toEqual([...fixture.integers(`logreg/${expected.name}/test_prediction`)]);
      expect(accuracy(mostProbable(testLogs), testLabels)).toBe(expected.test_accuracy);
      expect(accuracy(mostProbable(trainLogs), trainLabels)).toBeCloseTo(expected.train_accuracy, 12);
      expect(negativeLogLikelihood(trainLogs, trainLabels)).toBeCloseTo(expected.train_cross_entropy, 5);
      expect(negativeLogLikelihood(testLogs, testLabels)).toBeCloseTo(expected.test_cross_entropy, 5);
    });
  },
);

describe("fitLogisticRegression", () => {
  const x = { rows: 4, columns: 2, data: Float32Array.of(1, 0, 0.8, 0.6, -1, 0, -0.6, 0.8) };

  it("refuses a label above the number of classes", async () => {
    const options = { l2: 1, bias: "none", classes: 2 } as const;
    await expect(fitLogisticRegression(device, train, trainLabels, options)).rejects.toThrow(/label 3 with 2 classes/);
  });

  it("refuses features of another width", async () => {
    const model = await fitLogisticRegression(device, train, trainLabels, { l2: 1, bias: "none" });
    expect(() => logProbabilities(model, { rows: 1, columns: 2, data: new Float64Array(2) })).toThrow(
      /width 2, the model was fitted on 8/,
    );
  });

  it("states a gap that bounds what further steps gain", async () => {
    const coarse = await fitLogisticRegression(device, x, [0, 0, 1, 1], { l2: 1e-3, bias: "none", maxIterations: 2 });
    const fine = await fitLogisticRegression(device, x, [0, 0, 1, 1], { l2: 1e-3, bias: "none" });
    expect(coarse.converged).toBe(false);
    expect(fine.converged).toBe(true);
    expect(fine.gap).toBeLessThanOrEqual(1e-6 * fine.objective);
    expect(coarse.objective - fine.objective).toBeGreaterThan(0);
    expect(coarse.objective - fine.objective).toBeLessThanOrEqual(coarse.gap);
  });

  it("reaches the same minimum whether rows fit one part or several", async () => {
    // The same four rows again and again: the mean does not change, and there are two parts.
    const times = 1500;
    const many = {
      rows: 4 * times,
      columns: 2,
      data: Float32Array.from({ length: 8 * times }, (_, at) => x.data[at % 8] ?? 0),
    };
    const labels = Array.from({ length: many.rows }, (_, row) => (row % 4 < 2 ? 0 : 1));
    const one = await fitLogisticRegression(device, x, [0, 0, 1, 1], { l2: 1e-2, bias: "none" });
    const all = await fitLogisticRegression(device, many, labels, { l2: 1e-2, bias: "none" });
    expect(Math.abs(all.objective / one.objective - 1)).toBeLessThan(2e-6); // both within 1e-6 of the minimum
    expect(all.deviceBytes).toBeGreaterThanOrEqual(4 * 2 * many.rows);
  });

  it("plans memory for features, weights and one part of the rows, never for a Hessian", () => {
    const [rows, columns, classes] = [5000, 1024, 1000];
    const features = { rows, columns, data: new Float32Array(rows * columns).fill(1) };
    const labels = Int32Array.from({ length: rows }, (_, row) => row % classes);
    const objective = new LogisticObjective(device, features, labels, { classes, columns, l2: 1, bias: "none" });
    const least = 4 * (rows * columns + 2 * classes * columns);
    const logits = 4 * 4096 * classes; // of one part
    const planned = objective.plannedBytes;
    objective.destroy();
    expect(planned).toBeGreaterThan(least);
    expect(planned).toBeLessThan(least + 4 * classes * columns + 3 * logits);
  });

  it("stops where its signal says so", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(fitLogisticRegression(device, x, [0, 0, 1, 1], { l2: 1, bias: "none", signal })).rejects.toThrow(
      "enough",
    );
  });

  it("refuses features that float32 cannot multiply", async () => {
    const large = { ...x, data: Float64Array.from(x.data, (value) => value * 1e300) };
    await expect(fitLogisticRegression(device, large, [0, 0, 1, 1], { l2: 1, bias: "none" })).rejects.toThrow(
      /too large for float32/,
    );
  });
});
