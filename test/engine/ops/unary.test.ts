import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DTypeError, type Tensor } from "../../../engine/index.ts";
import { cast } from "../../../engine/ops/cast.ts";
import { abs, exp, log, neg, reciprocal, rsqrt, sign, sqrt, square, tanh } from "../../../engine/ops/unary.ts";
import { checkGradient, checkOperation, oddLength, toleranceOf, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";

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

it("refuses integers with a remedy", () => {
  expect(() => exp(device.tensor([1], [1], "u32"))).toThrow(DTypeError);
  expect(() => exp(device.tensor([1], [1], "u32"))).toThrow("exp: x is u32, expected f32 or f16; use cast");
});

it.skipIf(!device.features.has("shader-f16"))("computes on half precision", async () => {
  const x = cast(device.tensor([-1, 2, -3, 4, 5]), "f16");
  expect([...(await cast(square(x), "f32").read())]).toEqual([1, 4, 9, 16, 25]);
});
