import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DTypeError, sum, type Tensor } from "../../../engine/index.ts";
import { cast } from "../../../engine/ops/cast.ts";
import {
  abs,
  ceil,
  cos,
  erf,
  exp,
  expm1,
  floor,
  log,
  log1p,
  neg,
  reciprocal,
  relu,
  round,
  rsqrt,
  sigmoid,
  sign,
  silu,
  sin,
  softplus,
  sqrt,
  square,
  tanh,
} from "../../../engine/ops/unary.ts";
import { checkGradient, checkOperation, oddLength, toleranceOf, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";
import { erf as erfReference } from "../../reference/gelu.ts";

const device = await testDevice({ canaries: true });

interface Case {
  readonly run: (x: Tensor) => Tensor;
  readonly reference: (x: number) => number;
  /** Arguments from standard normal draws. */
  readonly argument?: (draw: number) => number;
  /** Unit round-offs, from the accuracy that WGSL asks of the built-in (section 15.7.4.1). */
  readonly roundings: number;
}
const positive = (draw: number) => 0.05 + Math.abs(draw);
const cases: Record<string, Case> = {
  exp: { run: exp, reference: Math.exp, roundings: 13 }, // 3 + 2 |x| units at |x| <= 5
  log: { run: log, reference: Math.log, argument: positive, roundings: 8 }, // 2^-21 absolute near 1
  sqrt: { run: sqrt, reference: Math.sqrt, argument: positive, roundings: 4 }, // 1 / rsqrt, 2 units, and a division
  rsqrt: { run: rsqrt, reference: (x) => 1 / Math.sqrt(x), argument: positive, roundings: 2 },
  tanh: { run: tanh, reference: Math.tanh, roundings: 84 }, // absolute 1e-5 is all that WGSL promises
  neg: { run: neg, reference: (x) => -x, roundings: 0 },
  abs: { run: abs, reference: Math.abs, roundings: 0 },
  square: { run: square, reference: (x) => x * x, roundings: 1 },
  reciprocal: { run: reciprocal, reference: (x) => 1 / x, argument: positive, roundings: 3 },
  relu: { run: relu, reference: (x) => Math.max(x, 0), roundings: 0 },
  sigmoid: { run: sigmoid, reference: (x) => 1 / (1 + Math.exp(-x)), roundings: 18 }, // an exponential, a sum, a division
  silu: { run: silu, reference: (x) => x / (1 + Math.exp(-x)), roundings: 19 },
  softplus: { run: softplus, reference: (x) => Math.log1p(Math.exp(x)), roundings: 24 }, // an exponential and a logarithm
  sin: { run: sin, reference: Math.sin, argument: (x) => 8 * x, roundings: 2 },
  cos: { run: cos, reference: Math.cos, argument: (x) => 8 * x, roundings: 2 },
  erf: { run: erf, reference: erfReference, roundings: 2 },
  log1p: { run: log1p, reference: Math.log1p, argument: (x) => Math.abs(x) - 0.2, roundings: 12 }, // 2^-21 absolute near 1
  expm1: { run: expm1, reference: Math.expm1, roundings: 14 },
};

describe.each(Object.entries(cases))(
  "%s",
  (_name, { run, reference, argument = (draw: number) => draw, roundings }) => {
    const drawn = fc.record({ size: oddLength(257), seed: fc.integer() });
    const operands = ({ size, seed }: { size: number; seed: number }) => ({
      x: { data: valuesOf("normal", seed, size).map(argument), shape: [size] },
    });
    const evaluate = ({ x }: { readonly [name: string]: Float64Array }) => Float64Array.from(x ?? [], reference);

    it("agrees with float64", async () => {
      await checkOperation(device, {
        cases: drawn,
        operands,
        run: (given) => ({ y: run(operand(given, "x")) }),
        reference: (given) => ({ y: evaluate(given) }),
        bound: () => toleranceOf(roundings),
        runs: 8,
      });
    });

    it("has the gradient of finite differences", async () => {
      await checkGradient(device, {
        cases: drawn,
        operands,
        run: (given) => run(operand(given, "x")),
        reference: evaluate,
        wrt: ["x"],
        runs: 5,
        step: 1e-6,
      });
    });
  },
);

it("tanh is ±1 for large arguments", async () => {
  expect([...(await tanh(device.tensor([-1e30, -50, 50, 1e30])).read())]).toEqual([-1, -1, 1, 1]);
});

it("sign tells the three cases apart", async () => {
  expect([...(await sign(device.tensor([-2, 0, 3])).read())]).toEqual([-1, 0, 1]);
});

it.each([
  ["log1p", log1p, Math.log1p],
  ["expm1", expm1, Math.expm1],
  ["sin", sin, Math.sin],
  ["erf", erf, erfReference],
] as const)("%s keeps small arguments to seven digits", async (_name, run, reference) => {
  const small = [-0.1, -1e-3, 1e-5, 3e-8, 0.02, 0.2];
  const y = await run(device.tensor(small)).read();
  small.forEach((x, i) => {
    const expected = reference(Math.fround(x));
    expect(Math.abs((y[i] ?? 0) - expected)).toBeLessThanOrEqual(4e-7 * Math.abs(expected));
  });
});

it("sin and cos and their slopes stay within -1 and 1, however large the argument", async () => {
  const x = device.tensor([...Array.from({ length: 128 }, (_, i) => (-1) ** i * 1.37 * 2 ** i), 3.4e38]);
  for (const run of [sin, cos]) {
    const y = run(x);
    const [dx = x] = y.program.gradients(sum(y), [x]);
    for (const values of [await y.read(), await dx.read()]) {
      expect([...values].filter((value) => !(Math.abs(value) <= 1 + 2e-7))).toEqual([]);
    }
  }
});

it("sin and cos hold their accuracy over a thousand turns", async () => {
  const angles = Float32Array.from({ length: 1000 }, (_, i) => (i - 500) * 16.38);
  for (const [run, reference] of [
    [sin, Math.sin],
    [cos, Math.cos],
  ] as const) {
    const y = await run(device.tensor(angles)).read();
    const worst = Math.max(...Array.from(angles, (x, i) => Math.abs((y[i] ?? 9) - reference(x))));
    expect(worst).toBeLessThan(2e-7);
  }
});

it("floor, ceil and round go their ways, halves to the even number", async () => {
  const x = device.tensor([-1.5, -0.5, 0.5, 1.5, 2.5, -2, 0.49, 7.51]);
  expect([...(await floor(x).read())]).toEqual([-2, -1, 0, 1, 2, -2, 0, 7]);
  expect([...(await ceil(x).read())].map((value) => value + 0)).toEqual([-1, 0, 1, 2, 3, -2, 1, 8]);
  expect([...(await round(x).read())].map((value) => value + 0)).toEqual([-2, 0, 0, 2, 2, -2, 0, 8]);
});

it("refuses integers with a remedy", () => {
  expect(() => exp(device.tensor([1], [1], "u32"))).toThrow(DTypeError);
  expect(() => exp(device.tensor([1], [1], "u32"))).toThrow("exp: x is u32, expected f32 or f16; use cast");
});

it.skipIf(!device.features.has("shader-f16"))("computes on half precision", async () => {
  const x = cast(device.tensor([-1, 2, -3, 4, 5]), "f16");
  expect([...(await cast(square(x), "f32").read())]).toEqual([1, 4, 9, 16, 25]);
});
