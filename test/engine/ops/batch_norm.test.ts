import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { OptionError, recordProgram, ShapeError } from "../../../engine/index.ts";
import {
  batchNorm,
  batchNormEvaluationKernel,
  batchNormKernel,
  batchNormStatistics,
} from "../../../engine/ops/batch_norm.ts";
import { batchNormGradKernel } from "../../../engine/ops/batch_norm_grad.ts";
import { geluGradKernel, geluKernel } from "../../../engine/ops/gelu.ts";
import {
  checkGradient,
  checkOperation,
  oddLength,
  roundOff,
  valueKind,
  valuesOf,
} from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";
import { columnStatistics, normalizeColumns } from "../../reference/batch_norm.ts";
import { geluReference } from "../../reference/gelu.ts";

const device = await testDevice({ canaries: true });
afterEach(() => device.tuning.force("batch_norm", undefined));

const epsilon = 1e-5;
const drawn = fc.record({
  rows: oddLength(131).filter((rows) => rows > 1),
  columns: oddLength(257),
  kind: valueKind,
  activation: fc.constantFrom(undefined, "gelu" as const),
  seed: fc.integer(),
});
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;
const operands = ({ rows, columns, kind, seed }: Drawn) => ({
  x: { data: valuesOf(kind, seed, rows * columns), shape: [rows, columns] },
  weight: { data: valuesOf("normal", seed ^ 1, columns), shape: [columns] },
  bias: { data: valuesOf("normal", seed ^ 2, columns), shape: [columns] },
});
type Doubles = Readonly<Record<string, Float64Array>>;
const inTraining = ({ x = new Float64Array(), weight = x, bias = x }: Doubles, { columns, activation }: Drawn) => {
  const z = normalizeColumns(x, columnStatistics(x, columns), weight, bias, epsilon);
  return activation ? geluReference(z) : z;
};
const fixed = (columns: number) => ({
  mean: Float32Array.from({ length: columns }, (_, c) => 0.1 * (c % 7)),
  variance: Float32Array.from({ length: columns }, (_, c) => 0.5 + (c % 3)),
});
const inEvaluation = ({ x = new Float64Array(), weight = x, bias = x }: Doubles, { columns, activation }: Drawn) => {
  const z = normalizeColumns(x, fixed(columns), weight, bias, epsilon);
  return activation ? geluReference(z) : z;
};

/** Largest ratio of a value to the deviation of its column: how far an error of the mean is blown up. */
const conditionOf = (one: Drawn) => {
  const { data } = operands(one).x;
  const { variance } = columnStatistics(data, one.columns);
  return Math.max(...data.map((v, i) => Math.abs(v) / Math.sqrt((variance[i % one.columns] ?? 0) + epsilon)));
};

describe.each(["team1", "team8", "team32"])("batch norm, variant %s", (variant) => {
  const run = (
    given: Parameters<typeof operand>[0],
    { columns, activation }: Drawn,
    mode: "training" | "evaluation",
  ) => {
    device.tuning.force("batch_norm", variant);
    const statistics = batchNormStatistics(device, columns);
    if (mode === "evaluation") {
      device.write(statistics.mean, fixed(columns).mean);
      device.write(statistics.variance, fixed(columns).variance);
    }
    return batchNorm(operand(given, "x"), {
      statistics,
      mode,
      weight: operand(given, "weight"),
      bias: operand(given, "bias"),
      ...(activation ? { activation } : {}),
    });
  };

  it("normalises with the batch in training", async () => {
    await checkOperation(device, {
      cases: drawn,
      operands,
      run: (given, one) => ({ y: run(given, one, "training") }),
      reference: (given, one) => ({ y: inTraining(given, one) }),
      // the mean errs by up to rows units of the largest value, which counts in units of the column's deviation
      bound: (one) => (one.rows + 24) * roundOff * 4 * (1 + conditionOf(one)),
      runs: 8,
    });
  });

  it("normalises with the running estimates in evaluation", async () => {
    await checkOperation(device, {
      cases: drawn,
      operands,
      run: (given, one) => ({ y: run(given, one, "evaluation") }),
      reference: (given, one) => ({ y: inEvaluation(given, one) }),
      bound: () => 24 * roundOff, // difference, root, division, two products, sum, and erf
      runs: 8,
    });
  });

  it.each(["training", "evaluation"] as const)("has the gradients of finite differences in %s", async (mode) => {
    await checkGradient(device, {
      cases: drawn.filter(({ kind, rows }) => kind === "normal" && rows >= 7),
      operands,
      run: (given, one) => run(given, one, mode),
      reference: mode === "training" ? inTraining : inEvaluation,
      wrt: ["x", "weight", "bias"],
      runs: 4,
    });
  });
});

it("moves the running estimates by momentum, the variance unbiased, and counts batches", async () => {
  const [rows, columns] = [6, 9];
  const statistics = batchNormStatistics(device, columns);
  const expected = { mean: new Float64Array(columns), variance: new Float64Array(columns).fill(1) };
  const step = recordProgram(device, (p) => ({
    y: batchNorm(p.input("x", [rows, columns]), { statistics, mode: "training" }),
  }));
  for (const seed of [1, 2, 3]) {
    const x = valuesOf("normal", seed, rows * columns);
    await (await step.run({ x }, ["y"])).read();
    const batch = columnStatistics(x, columns);
    expected.mean.forEach((v, c) => {
      expected.mean[c] = 0.9 * v + 0.1 * (batch.mean[c] ?? 0);
      expected.variance[c] = 0.9 * (expected.variance[c] ?? 0) + (0.1 * (batch.variance[c] ?? 0) * rows) / (rows - 1);
    });
  }
  const [mean, variance] = [await statistics.mean.read(), await statistics.variance.read()];
  expected.mean.forEach((v, c) => {
    expect(Math.abs(v - (mean[c] ?? Number.NaN))).toBeLessThan(1e-6);
    expect(Math.abs((expected.variance[c] ?? 0) - (variance[c] ?? Number.NaN))).toBeLessThan(1e-6);
  });
  expect([...(await statistics.batches.read())]).toEqual([3]);
});

it("leaves the running estimates alone in evaluation", async () => {
  const statistics = batchNormStatistics(device, 2);
  await batchNorm(device.tensor([1, 2, 3, 4], [2, 2]), { statistics, mode: "evaluation" }).read();
  expect([...(await statistics.mean.read()), ...(await statistics.batches.read())]).toEqual([0, 0, 0]);
});

it("carries the erf of gelu", () => {
  const text = (source: string, name: string) => source.match(new RegExp(`fn ${name}\\([\\s\\S]*?\\n}\\n`))?.[0];
  for (const kernel of [batchNormKernel, batchNormEvaluationKernel, batchNormGradKernel]) {
    expect(text(kernel.source, "erf"), kernel.name).toBe(text(geluKernel.source, "erf"));
  }
  expect(text(batchNormGradKernel.source, "gelu_slope")).toBe(text(geluGradKernel.source, "gelu_slope"));
});

it("refuses a single row in training and wrong options", () => {
  const statistics = batchNormStatistics(device, 2);
  const row = device.tensor([1, 2], [1, 2]);
  expect(() => batchNorm(row, { statistics, mode: "training" })).toThrow(ShapeError);
  expect(() => batchNorm(row, { statistics, mode: "training" })).toThrow("use a larger batch or mode evaluation");
  expect(() => batchNorm(row, { statistics, mode: "evaluation", epsilon: 0 })).toThrow(OptionError);
  expect(() => batchNorm(row, { statistics: batchNormStatistics(device, 3), mode: "evaluation" })).toThrow(ShapeError);
});
