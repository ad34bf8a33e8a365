import fc from "fast-check";
import { expect, it } from "vitest";
import { DTypeError, recordProgram, ShapeError, sum } from "../../../engine/index.ts";
import { crossEntropyPerRow } from "../../../engine/ops/cross_entropy.ts";
import { softCrossEntropyPerRow } from "../../../engine/ops/soft_cross_entropy.ts";
import {
  checkGradient,
  checkOperation,
  maxError,
  oddLength,
  roundOff,
  valueKind,
  valuesOf,
} from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";
import { softCrossEntropyReference } from "../../reference/softmax.ts";

const device = await testDevice({ canaries: true });
const drawn = fc.record({ rows: oddLength(67), columns: oddLength(257), kind: valueKind, seed: fc.integer() });
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;

/** Targets that are not sums to 1, with zeros among them. */
const operands = ({ rows, columns, kind, seed }: Drawn) => ({
  logits: { data: valuesOf(kind, seed, rows * columns), shape: [rows, columns] },
  targets: {
    data: valuesOf("normal", seed ^ 7, rows * columns).map((value) => Math.max(0, value)),
    shape: [rows, columns],
  },
});
const evaluate = ({ logits, targets }: Readonly<Record<string, Float64Array>>, { columns }: Drawn) =>
  softCrossEntropyReference(logits ?? [], targets ?? [], columns);

it("agrees with float64 for odd shapes, zeros, large and tiny values", async () => {
  await checkOperation(device, {
    cases: drawn,
    operands,
    run: (given) => ({ losses: softCrossEntropyPerRow(operand(given, "logits"), operand(given, "targets")) }),
    reference: (given, one) => ({ losses: evaluate(given, one) }),
    // exp and log within 16 units each, sums of columns / 64 terms and a tree of 6; each term of the distance rounds twice
    bound: ({ columns }) => (40 + columns / 32) * roundOff,
    floor: 1, // a loss near 0 is a difference of numbers of the size of the logits
  });
});

it("has the gradient of finite differences", async () => {
  await checkGradient(device, {
    cases: drawn.filter(({ kind, columns }) => kind === "normal" && columns > 1),
    operands,
    run: (given) => sum(softCrossEntropyPerRow(operand(given, "logits"), operand(given, "targets"))),
    reference: (given, one) => [evaluate(given, one).reduce((total, loss) => total + loss, 0)],
    wrt: ["logits"],
    runs: 8,
  });
});

it("is cross-entropy with label smoothing for smoothed targets", async () => {
  const [rows, classes, smoothing] = [5, 7, 0.1];
  const logits = device.tensor(valuesOf("normal", 3, rows * classes), [rows, classes]);
  const labels = Uint32Array.from({ length: rows }, (_, row) => (3 * row) % classes);
  const targets = Float32Array.from({ length: rows * classes }, (_, i) => {
    const hit = labels[Math.floor(i / classes)] === i % classes ? 1 - smoothing : 0;
    return hit + smoothing / classes;
  });
  const soft = await softCrossEntropyPerRow(logits, device.tensor(targets, [rows, classes])).read();
  const hard = crossEntropyPerRow(logits, device.tensor(labels, [rows], "u32"), { labelSmoothing: smoothing });
  expect(maxError(soft, await hard.read())).toBeLessThan(64 * roundOff); // two orders of summation
});

it("stays finite for confident logits, and gives NaN for logits that are none", async () => {
  const logits = device.tensor([1e30, -1e30, Number.NaN, 0], [2, 2]);
  const losses = await softCrossEntropyPerRow(logits, device.tensor([1, 0, 0.5, 0.5], [2, 2])).read();
  expect([...losses]).toEqual([0, Number.NaN]);
});

it.each([
  ["a NaN", [Number.NaN, 0, 1]],
  ["minus infinity alone", new Array(3).fill(Number.NEGATIVE_INFINITY)],
])("passes NaN on from a row of %s, to the loss and to every gradient", async (_, row) => {
  const recorded = recordProgram(device, (program) => {
    const [logits, targets] = [program.input("logits", [2, 3]), program.input("targets", [2, 3])];
    const losses = softCrossEntropyPerRow(logits, targets);
    const [gradient = logits] = program.gradients(sum(losses), [logits]);
    return { losses, gradient };
  });
  const inputs = { logits: Float32Array.from([...row, 0, 0, 0]), targets: [0.2, 0.3, 0.5, 1, 0, 0].map(Math.fround) };
  const { losses = [], gradient = [] } = await (await recorded.run(inputs, ["losses", "gradient"])).read();
  expect([...losses].map(Number.isFinite)).toEqual([false, true]);
  expect([...gradient].map(Number.isNaN)).toEqual([true, true, true, false, false, false]);
  recorded.destroy();
});

it("takes targets as constants", async () => {
  const recorded = recordProgram(device, (program) => {
    const [logits, targets] = [program.input("logits", [1, 3]), program.input("targets", [1, 3])];
    const [gradient = logits] = program.gradients(sum(softCrossEntropyPerRow(logits, targets)), [targets]);
    return { gradient };
  });
  const inputs = { logits: [1, 2, 3].map(Math.fround), targets: [0.2, 0.3, 0.5].map(Math.fround) };
  const { gradient } = await (await recorded.run(inputs, ["gradient"])).read();
  expect([...(gradient ?? [])]).toEqual([0, 0, 0]);
  recorded.destroy();
});

it("refuses targets of another shape or type", () => {
  const logits = device.tensor([1, 2, 3, 4], [2, 2]);
  expect(() => softCrossEntropyPerRow(logits, device.tensor([1, 0], [1, 2]))).toThrow(ShapeError);
  expect(() => softCrossEntropyPerRow(logits, device.tensor([1, 0, 0, 1], [2, 2], "u32"))).toThrow(DTypeError);
});
