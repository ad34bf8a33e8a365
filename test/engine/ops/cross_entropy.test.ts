import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { IndexError, OptionError, ShapeError } from "../../../engine/index.ts";
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
