import { expect, it } from "vitest";
import { HealthMonitor } from "../../../../refiner/methods/refine/health.ts";
import type { UpdateResult } from "../../../../refiner/methods/refine/stage.ts";
import { CollapseError } from "../../../../refiner/training/collapse_error.ts";

const healthy = {
  loss: 3,
  globalLoss: 3,
  globalAlignment: 0.2,
  localLoss: 3,
  localAlignment: 0.2,
  nnSimilarity: 0.8,
  nnAge: 9,
  nnAccuracy: 0.5,
};

function update(changes: Partial<typeof healthy>): UpdateResult {
  const head = { ...healthy, ...changes };
  return {
    loss: head.loss,
    heads: { cls: head },
    learningRate: { heads: 1e-3, encoder: 2e-3 },
    gradientNorm: { heads: 1, encoder: 2 },
  };
}

function repeat(result: UpdateResult, times: number): () => void {
  const monitor = new HealthMonitor(64);
  return () => {
    for (let i = 0; i < times; i++) monitor.check(i, result);
  };
}

it("lets healthy updates pass", () => {
  expect(repeat(update({}), 500)).not.toThrow();
});

it("stops at a loss that is not a number and names the learning rate", () => {
  expect(repeat(update({ loss: Number.NaN }), 1)).toThrow(/loss of head cls is NaN.*learning rate.*0\.002/s);
});

it("stops when neighbours stay saturated, and not before", () => {
  expect(repeat(update({ nnSimilarity: 0.99999 }), 49)).not.toThrow();
  expect(repeat(update({ nnSimilarity: 0.99999 }), 50)).toThrow(CollapseError);
});

it("stops when predictions are constant", () => {
  const constant = update({ globalLoss: Math.log(64), globalAlignment: 1 / 64 });
  expect(repeat(constant, 50)).toThrow(/no variance left/);
});
