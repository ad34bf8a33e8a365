import { describe, expect, it } from "vitest";
import {
  accuracy,
  EvaluationError,
  featureStatistics,
  standardise,
  unitRows,
  voteOfNeighbours,
} from "../../../refiner/evaluation/index.ts";
import golden from "../../fixtures/knn.json" with { type: "json" };
import { cosineTopK } from "../../reference/cosine_top_k.ts";
import { Fixture } from "./fixture.ts";

describe("k-NN", () => {
  const fixture = new Fixture("knn");
  const train = fixture.matrix("train_x");
  const test = fixture.matrix("test_x");
  const trainLabels = fixture.integers("train_y");
  const testLabels = fixture.integers("test_y");

  // No tolerance: the fixture's smallest margin between two classes, 2e-4 relative, is far above float32 rounding.
  it.each(golden.results)("predicts what the published code predicts for $name", (expected) => {
    const statistics = featureStatistics(train);
    const prepared = [train, test].map((x) => unitRows(expected.batch_normalize ? standardise(x, statistics) : x));
    const [bank = train, queries = test] = prepared;
    const k = expected.k ?? train.rows;
    const { similarities, indices } = cosineTopK(queries.data, bank.data, bank.columns, k);
    const labels = indices.map((index) => trainLabels[index] ?? -1);
    const predicted = voteOfNeighbours(similarities, labels, {
      k,
      classes: golden.num_classes,
      temperature: expected.tau,
    });
    expect([...predicted]).toEqual([...fixture.integers(`predicted/${expected.name}`)]);
    expect(accuracy(predicted, testLabels) * testLabels.length).toBeCloseTo(expected.correct, 9);
  });

  it("does not overflow at a small temperature", () => {
    const predicted = voteOfNeighbours([1, 0.999, 0.999], [2, 1, 1], { k: 3, classes: 3, temperature: 1e-4 });
    expect([...predicted]).toEqual([2]);
  });

  it("gives neighbours without a label no vote, and no class where none has one", () => {
    expect([...voteOfNeighbours([0.9, 0.1, 0.9, 0.1], [-1, 1, -1, -1], { k: 2, classes: 2 })]).toEqual([1, -1]);
  });

  it("counts only queries that have a label", () => {
    expect(accuracy([1, 2, 0], [1, 0, -1])).toBe(0.5);
  });

  it("refuses a label that is not below the number of classes", () => {
    expect(() => voteOfNeighbours([1], [3], { k: 1, classes: 3 })).toThrow(EvaluationError);
    expect(() => voteOfNeighbours([1], [3], { k: 1, classes: 3 })).toThrow(/label 3 with 3 classes/);
  });

  it("refuses similarities that are no k per query", () => {
    expect(() => voteOfNeighbours([1, 2, 3], [0, 0, 0], { k: 2, classes: 1 })).toThrow(
      /3 similarities and 3 labels for k = 2/,
    );
  });

  it("refuses statistics of another width", () => {
    const narrow = featureStatistics({ rows: 2, columns: 1, data: Float64Array.of(1, 2) });
    expect(() => standardise(train, narrow)).toThrow(/width 24 with statistics of width 1/);
  });

  it("keeps a row of zeros when rows are scaled to unit length", () => {
    const { data } = unitRows({ rows: 2, columns: 2, data: Float64Array.of(0, 0, 3, 4) });
    expect([...data]).toEqual([0, 0, 0.6, 0.8]);
  });
});
