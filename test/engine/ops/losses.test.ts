import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  binaryCrossEntropy,
  huberLoss,
  klDivergence,
  meanAbsoluteError,
  OptionError,
  type Tensor,
  variance,
} from "../../../engine/index.ts";
import { checkGradient, checkOperation, toleranceOf, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";

const device = await testDevice({ canaries: true });
type Given = Readonly<Record<string, Float64Array>>;
const cases = fc.record({ rows: fc.constantFrom(1, 3, 17), columns: fc.constantFrom(1, 4, 33), seed: fc.integer() });
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;
const average = (given: Given, loss: (a: number, b: number) => number) => {
  const { a = new Float64Array(), b = new Float64Array() } = given;
  return [a.reduce((total, value, i) => total + loss(value, b[i] ?? 0), 0) / a.length];
};
const probability = (value: number) => 1 / (1 + Math.exp(-value));

const losses: Readonly<
  Record<
    string,
    {
      run: (a: Tensor, b: Tensor) => Tensor;
      reference: (given: Given, drawn: Case) => number[];
      b?: (draw: number) => number;
    }
  >
> = {
  meanAbsoluteError: { run: meanAbsoluteError, reference: (given) => average(given, (a, b) => Math.abs(a - b)) },
  huberLoss: {
    run: (a, b) => huberLoss(a, b, { delta: 0.7 }),
    reference: (given) =>
      average(given, (a, b) => {
        const distance = Math.abs(a - b);
        return distance <= 0.7 ? distance ** 2 / 2 : 0.7 * (distance - 0.35);
      }),
  },
  binaryCrossEntropy: {
    run: (a, b) => binaryCrossEntropy(a, b, { positiveWeight: 3 }),
    reference: (given) =>
      average(given, (x, t) => 3 * t * Math.log1p(Math.exp(-x)) + (1 - t) * Math.log1p(Math.exp(x))),
    b: probability,
  },
  klDivergence: {
    run: klDivergence,
    reference: (given, { columns }) => average(given, (logQ, p) => columns * p * (Math.log(p) - logQ)),
    b: probability,
  },
};

describe.each(Object.entries(losses))("%s", (_name, { run, reference, b = (draw: number) => draw }) => {
  const check = {
    cases,
    operands: ({ rows, columns, seed }: Case) => ({
      a: { data: valuesOf("normal", seed, rows * columns), shape: [rows, columns] },
      b: { data: valuesOf("normal", seed ^ 1, rows * columns).map(b), shape: [rows, columns] },
    }),
  };

  it("agrees with float64", async () => {
    await checkOperation(device, {
      ...check,
      run: (given) => ({ loss: run(operand(given, "a"), operand(given, "b")) }),
      reference: (given, drawn) => ({ loss: reference(given, drawn) }),
      bound: () => toleranceOf(60), // an exponential and a logarithm of up to 24 units, a blocked mean
      floor: 1,
      runs: 10,
    });
  });

  it("has the gradients of finite differences", async () => {
    await checkGradient(device, {
      ...check,
      run: (given) => run(operand(given, "a"), operand(given, "b")),
      reference,
      wrt: ["a", "b"],
      runs: 6,
      step: 1e-6,
    });
  });
});

it("large logits do not overflow", async () => {
  const loss = await binaryCrossEntropy(device.tensor([200, -200, 200]), device.tensor([1, 0, 0])).read();
  expect(loss[0]).toBeCloseTo(200 / 3, 3);
});

it("a class of probability 0 adds nothing", async () => {
  const { NEGATIVE_INFINITY: never } = Number;
  expect([...(await klDivergence(device.tensor([0, never]), device.tensor([1, 0])).read())]).toEqual([0]);
  expect([...(await meanAbsoluteError(device.tensor([0, Number.NaN]), device.tensor([1, 0])).read())]).toEqual([
    Number.NaN,
  ]);
});

it("names a delta that is not positive", () => {
  expect(() => huberLoss(device.zeros([2]), device.zeros([2]), { delta: 0 })).toThrow(
    new OptionError("huberLoss: delta 0 is not positive; a usual value is 1"),
  );
});

it("names half precision, in which squares and sums overflow", () => {
  const half = device.zeros([2, 2], "f16");
  for (const loss of [meanAbsoluteError, huberLoss, binaryCrossEntropy, klDivergence]) {
    expect(() => loss(half, half)).toThrow(/^\w+: (a|logits|logQ) is f16, expected f32; use cast$/);
  }
  expect(() => variance(half)).toThrow("variance: x is f16, expected f32; use cast");
});
