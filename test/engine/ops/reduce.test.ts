import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AxisError } from "../../../engine/index.ts";
import { argmax, argmin } from "../../../engine/ops/argmax.ts";
import { max, min } from "../../../engine/ops/max.ts";
import { mean } from "../../../engine/ops/mean.ts";
import { prod } from "../../../engine/ops/prod.ts";
import { sum, sumTo } from "../../../engine/ops/reduce.ts";
import { standardDeviation, variance } from "../../../engine/ops/variance.ts";
import { checkGradient, checkOperation, roundOff, valueKind, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";
import { reduceReference } from "../../reference/reduce.ts";

const device = await testDevice({ canaries: true });

/** Rows, columns, interleaved axes, and lengths on both sides of a block (64) and a chunk (64 … 4096). */
const layouts = fc.constantFrom(
  ...[
    [[1], [0]],
    [[5], [0]],
    [[65], [0]],
    [[4097], [0]],
    [[3, 197], [1]],
    [[197, 3], [0]],
    [[2, 131, 5], [1]],
    [
      [3, 4, 5, 6],
      [0, 2],
    ],
    [
      [3, 4, 5, 6],
      [1, 3],
    ],
    [
      [3, 4, 5],
      [0, 1, 2],
    ],
    [[7, 1, 9], [1]],
    [[129, 33], [-1]],
    [[70000], [0]],
    [[2, 20000], [1]],
    [[9000, 2], [0]],
    [[130, 2100], [0]],
  ].map(([shape = [], axes = []]) => ({
    shape,
    axes,
    resolved: axes.map((axis) => (axis < 0 ? axis + shape.length : axis)),
  })),
);
const drawn = fc.record({ layout: layouts, kind: valueKind, seed: fc.integer() });
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;
const sizeOf = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);
const operands = ({ layout: { shape }, kind, seed }: Drawn) => ({
  x: { data: valuesOf(kind, seed, sizeOf(shape)), shape },
});

const total = (x: ArrayLike<number>, { layout: { shape, resolved } }: Drawn) =>
  reduceReference(x, shape, resolved, 0, (a, b) => a + b);

it("sums over any axes within the error of blocked summation", async () => {
  await checkOperation(device, {
    cases: drawn,
    operands,
    run: (given, { layout }) => ({ y: sum(operand(given, "x"), { axes: layout.axes }) }),
    // each result is compared in units of the sum of magnitudes, to which rounding errors are proportional
    reference: ({ x = new Float64Array() }, one) => ({ y: total(x, one) }),
    bound: (one) => {
      const { data } = operands(one).x;
      const magnitudes = Math.max(...total(data.map(Math.abs), one));
      const largest = Math.max(1e-6, ...total(data, one).map(Math.abs));
      return (260 * roundOff * magnitudes) / largest; // two passes of at most 64 + 64 roundings, and the tail
    },
    runs: 30,
  });
});

it("keeps 1e-6 on the mean of a million ones with a small offset", async () => {
  const x = new Float32Array(2 ** 20).fill(1.0001);
  const [value] = await mean(device.tensor(x)).read();
  expect(Math.abs((value ?? 0) - 1.0001)).toBeLessThan(1e-6);
});

it("means and maxima agree with float64", async () => {
  await checkOperation(device, {
    cases: drawn,
    operands,
    run: (given, { layout: { axes } }) => ({
      mean: mean(operand(given, "x"), { axes, keepDims: true }),
      max: max(operand(given, "x"), { axes }),
    }),
    reference: ({ x = new Float64Array() }, one) => {
      const { shape, resolved } = one.layout;
      const sums = total(x, one);
      return {
        mean: sums.map((value) => (value * sums.length) / x.length),
        max: reduceReference(x, shape, resolved, Number.NEGATIVE_INFINITY, Math.max),
      };
    },
    bound: (one, result) => {
      if (result === "max") return 0;
      const { data } = operands(one).x;
      const largest = Math.max(1e-6, ...total(data, one).map((value) => Math.abs(value) / data.length));
      return (260 * roundOff * data.reduce((most, v) => Math.max(most, Math.abs(v)), 0)) / largest;
    },
  });
});

describe.each([
  ["sum", sum],
  ["mean", mean],
] as const)("%s", (name, run) => {
  it("has the gradient of finite differences", async () => {
    await checkGradient(device, {
      cases: drawn.filter(({ layout, kind }) => sizeOf(layout.shape) < 5000 && kind === "normal"),
      operands,
      run: (given, { layout }) => run(operand(given, "x"), { axes: layout.axes }),
      reference: ({ x = new Float64Array() }, one) => {
        const sums = total(x, one);
        return name === "sum" ? sums : sums.map((value) => (value * sums.length) / x.length);
      },
      wrt: ["x"],
    });
  });
});

it("max passes the gradient to the largest element", async () => {
  await checkGradient(device, {
    cases: drawn.filter(({ layout, kind }) => sizeOf(layout.shape) < 5000 && kind === "normal"),
    operands,
    run: (given, { layout }) => max(operand(given, "x"), { axes: layout.axes }),
    reference: ({ x = new Float64Array() }, { layout: { shape, resolved } }) =>
      reduceReference(x, shape, resolved, Number.NEGATIVE_INFINITY, Math.max),
    wrt: ["x"],
    step: 1e-8,
  });
});

it("keeps or drops the reduced axes and reduces everything by default", async () => {
  const x = device.tensor([1, 2, 3, 4, 5, 6], [1, 2, 3]);
  expect(sum(x, { axes: [1] }).shape).toEqual([1, 3]);
  expect(sum(x, { axes: [1], keepDims: true }).shape).toEqual([1, 1, 3]);
  expect(sum(x).shape).toEqual([]);
  expect([...(await sum(x).read())]).toEqual([21]);
});

it("sums twice with the same bits", async () => {
  const x = device.tensor(valuesOf("normal", 5, 100_003));
  expect(await sum(x).read()).toEqual(await sum(x).read());
});

it("sumTo undoes broadcasting", async () => {
  const x = device.tensor([1, 2, 3, 4, 5, 6], [2, 3]);
  expect([...(await sumTo(x, [3]).read())]).toEqual([5, 7, 9]);
  expect([...(await sumTo(x, [2, 1]).read())]).toEqual([6, 15]);
  expect(sumTo(x, [2, 3]).shape).toEqual([2, 3]);
});

it("names a wrong or repeated axis", () => {
  const x = device.tensor([1, 2], [1, 2]);
  expect(() => sum(x, { axes: [2] })).toThrow(AxisError);
  expect(() => sum(x, { axes: [1, -1] })).toThrow("sum: axes [1, -1] name an axis of [1, 2] twice");
  expect(() => sum(device.zeros([4], "u8"))).toThrow("sum: x is u8, expected f32 or f16 or u32 or i32; use cast");
});

it("smallest values and products agree with plain loops", async () => {
  await checkOperation(device, {
    cases: drawn.filter(({ layout }) => sizeOf(layout.shape) < 5000),
    operands: (one) => {
      const { data, shape } = operands({ ...one, kind: "normal" }).x;
      return { x: { data: data.map((value) => 1 + value / 8), shape } };
    },
    run: (given, { layout: { axes } }) => ({
      min: min(operand(given, "x"), { axes }),
      prod: prod(operand(given, "x"), { axes }),
    }),
    reference: ({ x = new Float64Array() }, { layout: { shape, resolved } }) => ({
      min: reduceReference(x, shape, resolved, Number.POSITIVE_INFINITY, Math.min),
      prod: reduceReference(x, shape, resolved, 1, (a, b) => a * b),
    }),
    bound: ({ layout }, result) => (result === "min" ? 0 : (sizeOf(layout.shape) + 1) * roundOff), // one per factor
    floor: 1e-30,
    runs: 15,
  });
});

it.each([
  ["none", [2, -3, 0.5, 4], [-6, 4, -24, -3]],
  ["one", [2, 0, 0.5, 4], [0, 4, 0, 0]],
  ["two", [2, 0, 0, 4], [0, 0, 0, 0]],
])("the gradient of a product with zeros, %s, is the product of the others", async (_name, values, expected) => {
  const x = device.tensor(values);
  const y = prod(x);
  const [dx = x] = y.program.gradients(y, [x]);
  expect([...(await dx.read())]).toEqual(expected);
});

it("the variance keeps its digits beside a large mean, and has the gradient of finite differences", async () => {
  const x = device.tensor([1000, 1001, 1002, 1003, 5, 5, 5, 7], [2, 4]);
  const spread = [...(await variance(x, { axes: [1] }).read())];
  expect(spread.map((value) => Math.round(value * 1e4) / 1e4)).toEqual([1.6667, 1]);
  expect((await standardDeviation(x, { axes: [1], correction: 0 }).read())[0]).toBeCloseTo(Math.sqrt(1.25), 5);
  const shape = [3, 7];
  await checkGradient(device, {
    cases: fc.record({ seed: fc.integer() }),
    operands: ({ seed }) => ({ x: { data: valuesOf("normal", seed, 21), shape } }),
    run: (given) => standardDeviation(operand(given, "x"), { axes: [1] }),
    reference: ({ x = new Float64Array() }) =>
      [0, 1, 2].map((row) => {
        const values = [...x.slice(7 * row, 7 * row + 7)];
        const centre = values.reduce((a, b) => a + b, 0) / 7;
        return Math.sqrt(values.reduce((a, b) => a + (b - centre) ** 2, 0) / 6);
      }),
    wrt: ["x"],
    runs: 5,
  });
  expect(() => variance(device.zeros([1]))).toThrow(
    "variance: correction 1 for 1 elements, expected 0 … 1 (1 excluded); choose 0 for one element",
  );
});

it("argmin and argmax find the first extreme of each line", async () => {
  const x = device.tensor([3, 1, 1, 2, 5, 5], [2, 3]);
  expect([...(await argmin(x).read())]).toEqual([1, 0]);
  expect([...(await argmin(x, 0).read())]).toEqual([1, 0, 0]);
  expect([...(await argmax(x).read())]).toEqual([0, 1]);
});
