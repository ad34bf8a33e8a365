import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { IndexError, OptionError, ShapeError, type Tensor } from "../../../engine/index.ts";
import { crossEntropy, crossEntropyPerRow } from "../../../engine/ops/cross_entropy.ts";
import { rowVariants } from "../../../engine/ops/row_variant.ts";
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
import { crossEntropyReference } from "../../reference/softmax.ts";

const device = await testDevice({ canaries: true });
afterEach(() => device.tuning.force("cross_entropy", undefined));

const drawn = fc.record({
  rows: oddLength(131),
  columns: oddLength(257),
  kind: valueKind,
  labelSmoothing: fc.constantFrom(0, 0.1, 1),
  seed: fc.integer(),
});
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;
const operands = ({ rows, columns, kind, seed }: Drawn) => ({
  logits: { data: valuesOf(kind, seed, rows * columns), shape: [rows, columns] },
  targets: {
    data: Uint32Array.from({ length: rows }, (_, r) => ((r * 7919 + seed) >>> 0) % columns),
    shape: [rows],
    dtype: "u32" as const,
  },
});
const evaluate = (given: Readonly<Record<string, Float64Array>>, { columns, labelSmoothing }: Drawn) =>
  crossEntropyReference(given.logits ?? [], given.targets ?? [], columns, labelSmoothing);
const average = (losses: Float64Array) => [losses.reduce((sum, v) => sum + v, 0) / losses.length];

describe.each(rowVariants)("cross-entropy, variant %s", (variant) => {
  it("agrees with float64 for odd shapes, smoothing, zeros, large and tiny values", async () => {
    device.tuning.force("cross_entropy", variant);
    await checkOperation(device, {
      cases: drawn,
      operands,
      run: (given, { labelSmoothing }) => {
        const losses = crossEntropyPerRow(operand(given, "logits"), operand(given, "targets"), { labelSmoothing });
        return { losses };
      },
      reference: (given, one) => ({ losses: evaluate(given, one) }),
      // exp and log within 16 units each, a sum of columns / 4 terms; differences of logits round once
      bound: ({ columns }) => (40 + columns / 2) * roundOff,
      floor: 1, // a loss near 0 is a difference of numbers of the size of the logits
    });
  });

  it("has the gradient of finite differences", async () => {
    device.tuning.force("cross_entropy", variant);
    await checkGradient(device, {
      cases: drawn.filter(({ kind, columns }) => kind === "normal" && columns > 1),
      operands,
      run: (given, { labelSmoothing }) =>
        crossEntropy(operand(given, "logits"), operand(given, "targets"), { labelSmoothing }),
      reference: (given, one) => average(evaluate(given, one)),
      wrt: ["logits"],
      runs: 6,
    });
  });

  it("reports a target outside the classes", async () => {
    device.tuning.force("cross_entropy", variant);
    const loss = crossEntropy(device.tensor([1, 2, 3, 4], [2, 2]), device.tensor([0, 5], [2], "u32"));
    await expect(loss.read()).rejects.toThrow(IndexError);
  });

  it("reports a negative label that is not the ignored one", async () => {
    device.tuning.force("cross_entropy", variant);
    const targets = device.tensor([-5, -100], [2], "i32");
    const classWeights = device.tensor([1, 2, 3]);
    for (const options of [{ ignoredLabel: -100 }, { ignoredLabel: -100, classWeights }]) {
      const loss = crossEntropy(device.zeros([2, 3]), targets, options);
      await expect(loss.read()).rejects.toThrow("an index has the value -5");
    }
  });
});

it("stays finite for confident logits", async () => {
  const logits = device.tensor([1e30, -1e30, 1e30, -1e30], [2, 2]);
  const losses = await crossEntropyPerRow(logits, device.tensor([0, 1], [2], "u32")).read();
  expect(losses[0]).toBe(0);
  expect(Math.abs((losses[1] ?? 0) / 2e30 - 1)).toBeLessThan(1e-6);
});

it("refuses wrong shapes and smoothing", () => {
  const logits = device.tensor([1, 2, 3, 4], [2, 2]);
  expect(() => crossEntropy(logits, device.tensor([0], [1], "u32"))).toThrow(ShapeError);
  expect(() => crossEntropy(logits, device.tensor([0, 1], [2], "u32"), { labelSmoothing: 1.5 })).toThrow(OptionError);
});

describe("weights of classes and ignored labels", () => {
  const columns = 5;
  const cases = fc.record({
    rows: fc.constantFrom(1, 3, 70),
    weighted: fc.boolean(),
    ignores: fc.boolean(),
    seed: fc.integer(),
  });
  type One = typeof cases extends fc.Arbitrary<infer T> ? T : never;
  const weights = [0.5, 1, 2, 0.25, 3];
  const labels = ({ rows, ignores, seed }: One) =>
    Int32Array.from({ length: rows }, (_, row) =>
      ignores && row % 3 === 1 ? -100 : (((row * 7919 + seed) % columns) + columns) % columns,
    );
  const check = {
    cases,
    operands: (one: One) => ({
      logits: { data: valuesOf("normal", one.seed, one.rows * columns), shape: [one.rows, columns] },
    }),
    run: (given: Readonly<Record<string, Tensor>>, one: One) =>
      crossEntropy(
        operand(given, "logits"),
        device.tensor(
          one.ignores ? labels(one) : Uint32Array.from(labels(one)),
          [one.rows],
          one.ignores ? "i32" : "u32",
        ),
        {
          ...(one.weighted ? { classWeights: device.tensor(weights) } : {}),
          ...(one.ignores ? { ignoredLabel: -100 } : {}),
        },
      ),
    reference: ({ logits = new Float64Array() }: Readonly<Record<string, Float64Array>>, one: One) => {
      let [total, mass] = [0, 0];
      labels(one).forEach((label, row) => {
        if (label < 0) return;
        const weight = one.weighted ? (weights[label] ?? 0) : 1;
        const [loss = 0] = crossEntropyReference(logits.slice(row * columns, (row + 1) * columns), [label], columns, 0);
        total += weight * loss;
        mass += weight;
      });
      return [total / mass];
    },
  };

  it("the weighted mean over what counts agrees with float64", async () => {
    await checkOperation(device, {
      ...check,
      run: (given, one) => ({ loss: check.run(given, one) }),
      reference: (given, one) => ({ loss: check.reference(given, one) }),
      bound: () => 60 * roundOff,
      floor: 1,
    });
  });

  it("has the gradient of finite differences", async () => {
    await checkGradient(device, { ...check, wrt: ["logits"], runs: 8 });
  });

  it("ignored rows may hold NaN, and ignored rows alone give NaN", async () => {
    const logits = device.tensor([Number.NaN, 1, 0, 0], [2, 2]);
    const given = (...targets: number[]) => device.tensor(Uint32Array.from(targets), [2], "u32");
    expect((await crossEntropy(logits, given(255, 1), { ignoredLabel: 255 }).read())[0]).toBeCloseTo(Math.log(2), 5);
    expect([...(await crossEntropy(logits, given(255, 255), { ignoredLabel: 255 }).read())]).toEqual([Number.NaN]);
    const loss = crossEntropy(logits, given(255, 1), { ignoredLabel: 255 });
    const [slopes = logits] = loss.program.gradients(loss, [logits]);
    expect([...(await slopes.read())]).toEqual([Number.NaN, Number.NaN, 0.5, -0.5]);
  });
});

it("probabilities of labels cost what the labels cost, smoothed, weighted or not", async () => {
  const logits = device.tensor(valuesOf("normal", 3, 6), [2, 3]);
  const [labels, oneHot] = [device.tensor([2, 0], [2], "u32"), device.tensor([0, 0, 1, 1, 0, 0], [2, 3])];
  for (const labelSmoothing of [0, 0.1]) {
    const expected = await crossEntropy(logits, labels, { labelSmoothing }).read();
    expect((await crossEntropy(logits, oneHot, { labelSmoothing }).read())[0]).toBeCloseTo(expected[0] ?? 9, 5);
  }
  const classWeights = device.tensor([2, 1, 0.5]);
  const weighted = await crossEntropyPerRow(logits, labels, { classWeights }).read();
  const soft = await crossEntropyPerRow(logits, oneHot, { classWeights }).read();
  expect(soft[0]).toBeCloseTo(weighted[0] ?? 9, 5);
  expect(soft[1]).toBeCloseTo(weighted[1] ?? 9, 5);
});

it("names options that do not go together", () => {
  const logits = device.zeros([2, 3]);
  const classWeights = device.zeros([3]);
  expect(() => crossEntropy(logits, device.zeros([2], "u32"), { classWeights, labelSmoothing: 0.1 })).toThrow(
    new OptionError("crossEntropy: classWeights and labelSmoothing do not go together; give smoothed targets"),
  );
  expect(() => crossEntropy(logits, device.zeros([2, 3]), { ignoredLabel: 1 })).toThrow(
    "crossEntropy: an ignoredLabel needs labels, and the targets are probabilities; give rows of 0",
  );
  for (const ignoredLabel of [-100, 0.5, 2 ** 32]) {
    expect(() => crossEntropy(logits, device.zeros([2], "u32"), { ignoredLabel })).toThrow(
      `crossEntropy: ignoredLabel ${ignoredLabel} is none that targets of u32 hold, expected a whole number in 0 … 4294967295; negative ones need targets of i32`,
    );
  }
});
