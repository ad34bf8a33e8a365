import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DTypeError, RankError, recordProgram, ShapeError, type Tensor } from "../../../engine/index.ts";
import { add, div, maximum, minimum, mul, sub } from "../../../engine/ops/binary.ts";
import { cast } from "../../../engine/ops/cast.ts";
import { pow } from "../../../engine/ops/pow.ts";
import { checkGradient, checkOperation, toleranceOf, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";
import { broadcastTo } from "../../reference/broadcast.ts";

const device = await testDevice({ canaries: true });

const pair = (a: number[], b: number[]) => ({
  a,
  b,
  y: Array.from({ length: Math.max(a.length, b.length) }, (_, k) =>
    Math.max(a.at(-1 - k) ?? 1, b.at(-1 - k) ?? 1),
  ).reverse(),
});
/** Equal shapes, trailing, leading, scattered and scalar broadcasting, sizes with and without a factor of 4. */
const shapes = fc.constantFrom(
  pair([1], [1]),
  pair([7], [7]),
  pair([64], [64]),
  pair([13, 67], [13, 67]),
  pair([257], [1]),
  pair([], [33]),
  pair([5, 16], [16]),
  pair([5, 16], [5, 1]),
  pair([3, 1, 5], [1, 4, 1]),
  pair([2, 3, 4, 5], [3, 1, 5]),
  pair([2, 1, 3, 1], [1, 5, 1, 7]),
  pair([1, 8], [5, 1]),
  pair([2, 1, 3, 4], [5, 1, 4]),
  pair([4, 1], [3, 1, 8]),
);
const drawn = fc.record({ shapes, seed: fc.integer() });
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;
const sizeOf = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);

interface Case {
  readonly run: (a: Tensor | number, b: Tensor | number) => Tensor;
  readonly reference: (a: number, b: number) => number;
  readonly roundings: number;
}
const cases: Record<string, Case> = {
  add: { run: add, reference: (a, b) => a + b, roundings: 1 },
  sub: { run: sub, reference: (a, b) => a - b, roundings: 1 },
  mul: { run: mul, reference: (a, b) => a * b, roundings: 1 },
  div: { run: div, reference: (a, b) => a / b, roundings: 3 }, // WGSL: 2.5 units
  maximum: { run: maximum, reference: Math.max, roundings: 0 },
  minimum: { run: minimum, reference: Math.min, roundings: 0 },
  pow: { run: pow, reference: (a, b) => a ** b, roundings: 32 }, // exp2(b log2 a) with |b log2 a| <= 14
};

describe.each(Object.entries(cases))("%s", (_name, { run, reference, roundings }) => {
  const operands = ({ shapes: { a, b }, seed }: Drawn) => ({
    a: { data: valuesOf("normal", seed, sizeOf(a)).map((v) => 0.1 + Math.abs(v)), shape: a },
    b: { data: valuesOf("normal", seed ^ 1, sizeOf(b)).map((v) => 0.1 + Math.abs(v)), shape: b },
  });
  const evaluate = (
    { a = new Float64Array(), b = new Float64Array() }: Record<string, Float64Array>,
    { shapes: s }: Drawn,
  ) => {
    const right = broadcastTo(b, s.b, s.y);
    return broadcastTo(a, s.a, s.y).map((value, i) => reference(value, right[i] ?? Number.NaN));
  };

  it("agrees with float64 under broadcasting", async () => {
    await checkOperation(device, {
      cases: drawn,
      operands,
      run: (given) => ({ y: run(operand(given, "a"), operand(given, "b")) }),
      reference: (given, one) => ({ y: evaluate(given, one) }),
      bound: () => toleranceOf(roundings),
      runs: 12,
    });
  });

  it("has the gradients of finite differences under broadcasting", async () => {
    await checkGradient(device, {
      cases: drawn,
      operands,
      run: (given) => run(operand(given, "a"), operand(given, "b")),
      reference: evaluate,
      wrt: ["a", "b"],
      runs: 6,
      step: 1e-7,
    });
  });

  it("takes a number on either side", async () => {
    const x = [0.5, 1, 1.5, 2, 7];
    const right = await run(device.tensor(x), 1.5).read();
    const left = await run(1.5, device.tensor(x)).read();
    x.forEach((v, i) => {
      expect(right[i]).toBeCloseTo(reference(v, 1.5), 4);
      expect(left[i]).toBeCloseTo(reference(1.5, v), 4);
    });
  });
});

it("carries coordinates along where threads take several elements", async () => {
  // 70350 elements one at a time, 43200 by fours: more than the 8192 threads that a software adapter is given
  for (const { a, b, y } of [pair([3, 1, 7, 1], [1, 50, 1, 67]), pair([40, 1, 9, 1], [30, 1, 16])]) {
    const left = valuesOf("normal", 1, sizeOf(a));
    const right = valuesOf("normal", 2, sizeOf(b));
    const repeated = broadcastTo(right, b, y);
    const expected = Float32Array.from(broadcastTo(left, a, y), (v, i) => v + (repeated[i] ?? Number.NaN));
    expect(await add(device.tensor(left, a), device.tensor(right, b)).read()).toEqual(expected);
  }
});

it("the gradient of a tensor combined with a number has the right sign on both sides", async () => {
  const x = device.tensor([1, 2, 4]);
  const recorded = recordProgram(device, (p) => {
    const seed = p.input("seed", [3]);
    const a = sub(1, x);
    const b = div(2, x);
    p.absorb(a.program);
    p.absorb(b.program);
    const [da] = p.gradients(a, [x], seed);
    const [db] = p.gradients(b, [x], seed);
    return { da: da ?? a, db: db ?? b };
  });
  const { da, db } = await (await recorded.run({ seed: [1, 1, 1] }, ["da", "db"])).read();
  expect([...da]).toEqual([-1, -1, -1]);
  expect([...db]).toEqual([-2, -0.5, -0.125]); // -2 / x²
});

it("equal operands of maximum share the gradient", async () => {
  const a = device.tensor([3]);
  const b = device.tensor([3]);
  const recorded = recordProgram(device, (p) => {
    const y = maximum(a, b);
    p.absorb(y.program);
    const [da = y, db = y] = p.gradients(y, [a, b]);
    return { da, db };
  });
  const { da, db } = await (await recorded.run({}, ["da", "db"])).read();
  expect([da[0], db[0]]).toEqual([0.5, 0.5]);
});

it("writes over a first operand that is not needed afterwards", async () => {
  const step = recordProgram(
    device,
    (p) => {
      const x = p.input("x", [8]);
      return { y: add(mul(x, x), mul(x, 3)) };
    },
    { inference: true },
  );
  expect(step.print()).toContain("binary (in place)");
  const { y } = await (await step.run({ x: [0, 1, 2, 3, 4, 5, 6, 7] }, ["y"])).read();
  expect([...y]).toEqual([0, 4, 10, 18, 28, 40, 54, 70]);
});

it("names both shapes when they do not broadcast", () => {
  const attempt = () => add(device.tensor([1, 2, 3]), device.tensor([1, 2]));
  expect(attempt).toThrow(ShapeError);
  expect(attempt).toThrow(
    "add: shapes [3] and [2] do not broadcast; aligned at the last axis, lengths must be equal or 1",
  );
});

it("names the limit on separate runs of repeated axes", () => {
  const a = device.tensor(new Float32Array(8), [2, 1, 2, 1, 2]);
  const b = device.tensor(new Float32Array(4), [1, 2, 1, 2, 1]);
  expect(() => add(a, b)).toThrow(RankError);
  expect(() => add(a, b)).toThrow("repeat along 5 separate runs of axes, at most 4 are supported");
});

it("refuses two numbers and mixed types", () => {
  expect(() => add(1, 2)).toThrow(DTypeError);
  expect(() => add(device.tensor([1]), device.tensor([1], [1], "u32"))).toThrow(
    "add: b is u32, expected f32; use cast",
  );
});

it.skipIf(!device.features.has("shader-f16"))("computes on half precision, also under broadcasting", async () => {
  const a = cast(device.tensor([1, 2, 3, 4, 5, 6, 7, 8], [2, 4]), "f16");
  const column = cast(device.tensor([10, 20], [2, 1]), "f16");
  const row = cast(device.tensor([1, 2, 3, 4]), "f16");
  expect([...(await cast(add(a, column), "f32").read())]).toEqual([11, 12, 13, 14, 25, 26, 27, 28]);
  expect([...(await cast(mul(a, row), "f32").read())]).toEqual([1, 4, 9, 16, 5, 12, 21, 32]);
  expect([...(await cast(sub(a, a), "f32").read())]).toEqual(Array(8).fill(0));
  expect([...(await cast(mul(a, 2), "f32").read())]).toEqual([2, 4, 6, 8, 10, 12, 14, 16]);
});
