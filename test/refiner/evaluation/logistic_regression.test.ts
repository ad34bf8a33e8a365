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
import golden from "../../fixtures/metrics.json" with { type: "json" };
import { Fixture } from "./fixture.ts";

const fixture = new Fixture("metrics");
const train = fixture.matrix("logreg/train_x");
const trainLabels = fixture.integers("logreg/train_y");
const testLabels = fixture.integers("logreg/test_y");
const statistics = featureStatistics(train, "biased");
const standardised = (name: string) => {
  const x = fixture.matrix(name);
  return standardise({ ...x, data: Float64Array.from(x.data) }, statistics, 0);
};

describe.each(golden.logistic_regression)("logistic regression $name", (expected) => {
  const model = fitLogisticRegression(standardised("logreg/train_x"), trainLabels, {
    l2: expected.l2,
    bias: expected.fit_intercept ? "unpenalised" : "none",
  });
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
});

describe("fitLogisticRegression", () => {
  it("refuses a label above the number of classes", () => {
    expect(() => fitLogisticRegression(train, trainLabels, { l2: 1, bias: "none", classes: 2 })).toThrow(
      /label 3 with 2 classes/,
    );
  });

  it("refuses features of another width", () => {
    const model = fitLogisticRegression(train, trainLabels, { l2: 1, bias: "none" });
    expect(() => logProbabilities(model, { rows: 1, columns: 2, data: new Float64Array(2) })).toThrow(
      /width 2, the model was fitted on 8/,
    );
  });
});
