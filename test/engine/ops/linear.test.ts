import fc from "fast-check";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Device, Tensor } from "../../../engine/index.ts";
import { add, mul, recordProgram, sum } from "../../../engine/index.ts";
import { linear } from "../../../engine/ops/linear.ts";
import { matmulVariants } from "../../../engine/ops/matmul_kernels.ts";
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
import { linearReference, matmulReference } from "../../reference/matmul.ts";

/** Each drawn epilogue is a pipeline of its own, and a busy two-core machine takes seconds for one with shared tiles. */
const compileLimitMs = 150_000;
/**
 * Far below 0 the slope of GELU is less than its own error of 1.5e-7: 37 rows and outputs of that reach 6e-6, which the default
 * bound of 1e-4 allows for gradients of this size.
 */
const slopeFloor = 0.1;

let device: Device;
beforeAll(async () => {
  device = await testDevice({ canaries: true });
});
afterEach(() => device.tuning.force("matmul", undefined));

interface Case {
  readonly leading: number;
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly hasBias: boolean;
  readonly gelu: boolean;
  readonly hasResidual: boolean;
  readonly kind: Parameters<typeof valuesOf>[0];
  readonly seed: number;
}

/** Odd lengths, and their next multiples of 4, where kernels load and store four numbers at once. */
function drawLengths(longest: number): fc.Arbitrary<Pick<Case, "inputs" | "outputs">> {
  return fc
    .record({ inputs: oddLength(longest), outputs: oddLength(longest), isWide: fc.boolean() })
    .map(({ inputs, outputs, isWide }) =>
      isWide ? { inputs: 4 * Math.ceil(inputs / 4), outputs: 4 * Math.ceil(outputs / 4) } : { inputs, outputs },
    );
}

function drawCase(longest: number, kinds = valueKind): fc.Arbitrary<Case> {
  const others = fc.record({
    leading: fc.integer({ min: 1, max: 3 }),
    rows: oddLength(longest),
    hasBias: fc.boolean(),
    gelu: fc.boolean(),
    hasResidual: fc.boolean(),
    kind: kinds,
    seed: fc.integer({ min: 1, max: 2 ** 30 }),
  });
  return fc.tuple(drawLengths(longest), others).map(([lengths, other]) => ({ ...lengths, ...other }));
}

function operandsOf({ leading, rows, inputs, outputs, kind, seed }: Case) {
  const values = (offset: number, count: number) => valuesOf(kind, seed + offset, count);
  return {
    x: { data: values(0, leading * rows * inputs), shape: [leading, rows, inputs] },
    weight: { data: values(1, outputs * inputs), shape: [outputs, inputs] },
    bias: { data: values(2, outputs), shape: [outputs] },
    residual: { data: values(3, leading * rows * outputs), shape: [leading, rows, outputs] },
  };
}

function run(
  { x, weight, bias, residual }: Readonly<Record<string, Tensor>>,
  { hasBias, gelu, hasResidual }: Case,
): Tensor {
  if (!x || !weight) throw new Error("an operand is missing");
  return linear(x, weight, {
    ...(hasBias ? { bias } : {}),
    ...(gelu ? { activation: "gelu" } : {}),
    ...(hasResidual ? { residual } : {}),
  });
}

function reference(operands: Readonly<Record<string, Float64Array>>, drawn: Case): Float64Array {
  const { x = [], weight = [], bias, residual } = operands;
  const { leading, rows, inputs, outputs, hasBias, gelu, hasResidual } = drawn;
  return linearReference(
    x,
    weight,
    { rows: leading * rows, inputs, outputs },
    {
      bias: hasBias ? bias : undefined,
      gelu,
      residual: hasResidual ? residual : undefined,
    },
  );
}

/** Splits of tiles that differ in nothing but their size are tested in matmul.test.ts: here each epilogue is a compilation more. */
const names = matmulVariants
  .map((variant) => variant.name)
  .filter((name) => !["shared_32_split", "shared_128x64_split"].includes(name));

describe.each(names)("variant %s", (name) => {
  it(
    "equals the float64 layer with every epilogue",
    async (context) => {
      const variant = matmulVariants.find((candidate) => candidate.name === name);
      const reason = variant?.unsupported(device, { rows: 64, columns: 64, depth: 64, batches: 1 });
      if (reason) context.skip(`${device.info.name}: ${reason}`);
      device.tuning.force("matmul", name);
      await checkOperation(device, {
        cases: drawCase(131),
        operands: operandsOf,
        run: (operands, drawn) => ({ y: run(operands, drawn) }),
        reference: (operands, drawn) => ({ y: reference(operands, drawn) }),
        // The product as in matmul.test.ts; bias, residual and GELU (erf within 8e-8, two products) add six roundings.
        bound: ({ inputs }) => (4 * (inputs + 4) + 6) * roundOff,
        // A sum that cancels, or GELU far below 0, keeps the error of its terms: x w is of this size.
        floor: ({ kind }) => ({ normal: 1, sparse: 1, zeros: 1e-6, large: 1e8, tiny: 1e-12 })[kind],
        runs: 8,
      });
    },
    compileLimitMs,
  );

  it(
    "has the gradients of central differences for input, weight, bias and residual",
    async (context) => {
      const variant = matmulVariants.find((candidate) => candidate.name === name);
      const reason = variant?.unsupported(device, { rows: 64, columns: 64, depth: 64, batches: 1 });
      if (reason) context.skip(`${device.info.name}: ${reason}`);
      device.tuning.force("matmul", name);
      await checkGradient(device, {
        cases: drawCase(37, fc.constantFrom("normal", "sparse")),
        operands: operandsOf,
        run,
        reference,
        wrt: ["x", "weight", "bias", "residual"],
        runs: 8,
        floor: slopeFloor,
      });
    },
    compileLimitMs,
  );
});

it("is one dispatch with bias, GELU and residual", () => {
  const x = device.tensor(valuesOf("normal", 1, 12), [3, 4]);
  const weight = device.tensor(valuesOf("normal", 2, 20), [5, 4]);
  const bias = device.tensor(valuesOf("normal", 3, 5), [5]);
  const residual = device.tensor(valuesOf("normal", 4, 15), [3, 5]);
  const step = recordProgram(device, () => ({ y: linear(x, weight, { bias, activation: "gelu", residual }) }));
  expect(step.outputs.y.program.commands).toHaveLength(1);
});

it("computes the gradients of weight and bias in one dispatch", () => {
  const step = recordProgram(device, (program) => {
    const x = program.input("x", [40, 48]);
    const seed = program.input("seed", [40, 33]);
    const weight = device.tensor(valuesOf("normal", 2, 33 * 48), [33, 48]);
    const bias = device.tensor(valuesOf("normal", 3, 33), [33]);
    const y = linear(x, weight, { bias });
    const before = program.commands.length;
    const [dWeight, dBias] = program.gradients(y, [weight, bias], seed);
    expect(program.commands.length - before).toBe(1);
    return { dWeight: dWeight ?? y, dBias: dBias ?? y };
  });
  expect(step.outputs.dBias.shape).toEqual([33]);
});

interface Mlp {
  readonly rows: number;
  readonly width: number;
  readonly hidden: number;
}

function mlpOperands({ rows, width, hidden }: Mlp) {
  return {
    x: { data: valuesOf("normal", 1, rows * width), shape: [rows, width] },
    first: { data: valuesOf("normal", 2, hidden * width), shape: [hidden, width] },
    second: { data: valuesOf("normal", 3, width * hidden), shape: [width, hidden] },
  };
}

function mlp({ x, first, second }: Readonly<Record<string, Tensor>>): { hidden: Tensor; y: Tensor } {
  if (!x || !first || !second) throw new Error("an operand is missing");
  const hidden = linear(x, first, { activation: "gelu" });
  return { hidden, y: linear(hidden, second) };
}

it("has the right gradients where the slope of GELU is folded into the next layer's product", async () => {
  await checkGradient(device, {
    cases: fc.record({ rows: oddLength(33), width: oddLength(17), hidden: oddLength(33) }),
    operands: mlpOperands,
    run: (operands) => mlp(operands).y,
    reference: ({ x = [], first = [], second = [] }, { rows, width, hidden }) => {
      const inner = linearReference(x, first, { rows, inputs: width, outputs: hidden }, { gelu: true });
      return linearReference(inner, second, { rows, inputs: hidden, outputs: width });
    },
    wrt: ["x", "first", "second"],
    floor: slopeFloor,
  });
});

it("has the right second derivatives of a two-layer perceptron, which compute the value before GELU again", async () => {
  const sizes = { rows: 3, width: 8, hidden: 12 };
  const operands = mlpOperands(sizes);
  const values = (seed: number, like: ArrayLike<number>) => valuesOf("normal", seed, like.length);
  const seed = valuesOf("normal", 9, 24);
  const along = { x: values(4, operands.x.data), first: values(5, operands.first.data) };
  const across = { x: values(6, operands.x.data), first: values(7, operands.first.data) };
  const step = recordProgram(device, (program) => {
    const x = device.tensor(operands.x.data, operands.x.shape);
    const first = device.tensor(operands.first.data, operands.first.shape);
    const second = device.tensor(operands.second.data, operands.second.shape);
    const { y } = mlp({ x, first, second });
    const [dx = y, dFirst = y] = program.gradients(y, [x, first], device.tensor(seed, y.shape));
    const directional = add(
      sum(mul(dx, device.tensor(along.x, x.shape))),
      sum(mul(dFirst, device.tensor(along.first, first.shape))),
    );
    const [ddx = y, ddFirst = y] = program.gradients(directional, [x, first]);
    return { ddx, ddFirst };
  });
  const { ddx, ddFirst } = await (await step.run({}, ["ddx", "ddFirst"])).read();
  const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a, (value, i) => value * (b[i] ?? 0)).reduce((total, value) => total + value, 0);
  const found = dot(ddx, across.x) + dot(ddFirst, across.first);

  const moved = (data: ArrayLike<number>, u: ArrayLike<number>, v: ArrayLike<number>, s: number, t: number) =>
    Array.from(data, (value, i) => value + s * (u[i] ?? 0) + t * (v[i] ?? 0));
  const loss = (s: number, t: number) => {
    const x = moved(operands.x.data, along.x, across.x, s, t);
    const first = moved(operands.first.data, along.first, across.first, s, t);
    const hidden = linearReference(x, first, { rows: 3, inputs: 8, outputs: 12 }, { gelu: true });
    return dot(linearReference(hidden, operands.second.data, { rows: 3, inputs: 12, outputs: 8 }), seed);
  };
  const h = 2 ** -10; // differences of float64 lose 20 of 53 bits, and bend by h² of the fourth derivative
  const expected = (loss(h, h) - loss(h, -h) - loss(-h, h) + loss(-h, -h)) / (4 * h * h);
  expect(Math.abs(found - expected)).toBeLessThan(1e-4 * Math.max(1, Math.abs(expected)));
});

it("runs the backward pass of a two-layer perceptron in four dispatches", () => {
  const operands = mlpOperands({ rows: 40, width: 24, hidden: 48 });
  const step = recordProgram(device, (program) => {
    const x = program.input("x", operands.x.shape);
    const first = device.tensor(operands.first.data, operands.first.shape);
    const second = device.tensor(operands.second.data, operands.second.shape);
    const { y } = mlp({ x, first, second });
    const [dx, dFirst, dSecond] = program.gradients(y, [x, first, second], program.input("seed", y.shape));
    return { y, dx: dx ?? y, dFirst: dFirst ?? y, dSecond: dSecond ?? y };
  });
  expect(step.plan.commands).toHaveLength(2 + 4);
});

it("keeps the gradient of the hidden layer intact when it is asked for beside the others", async () => {
  const sizes = { rows: 5, width: 3, hidden: 7 };
  const operands = mlpOperands(sizes);
  const seed = Array.from({ length: 15 }, (_, i) => i / 7 - 1);
  const step = recordProgram(device, (program) => {
    const x = program.input("x", operands.x.shape);
    const first = device.tensor(operands.first.data, operands.first.shape);
    const second = device.tensor(operands.second.data, operands.second.shape);
    const { hidden, y } = mlp({ x, first, second });
    const [dHidden, dFirst] = program.gradients(y, [hidden, first], program.input("seed", y.shape));
    return { dHidden: dHidden ?? y, dFirst: dFirst ?? y };
  });
  const { dHidden } = await (await step.run({ x: operands.x.data, seed }, ["dHidden", "dFirst"])).read();
  const expected = matmulReference(seed, operands.second.data, { rows: 5, columns: 7, depth: 3 });
  expect(maxError(dHidden, expected)).toBeLessThan(4 * 7 * roundOff);
});

it("keeps no slope of GELU in an inference program", () => {
  const weight = device.tensor(valuesOf("normal", 2, 48 * 48), [48, 48]);
  const bytes = [true, false].map((inference) => {
    const step = recordProgram(
      device,
      (program) => ({ y: linear(program.input("x", [64, 48]), weight, { activation: "gelu" }) }),
      { inference },
    );
    return step.plan.lowerBoundBytes;
  });
  expect((bytes[1] ?? 0) - (bytes[0] ?? 0)).toBeGreaterThan(48 * 48 * 4);
});

it("names the weight that does not fit", () => {
  const x = device.tensor([1, 2, 3, 4], [2, 2]);
  const weight = device.tensor([1, 2, 3], [1, 3]);
  expect(() => linear(x, weight)).toThrow(/x \[2, 2\] has 2 columns and weight \[1, 3\] takes 3/);
});

it("names the shape that the bias should have", () => {
  const x = device.tensor([1, 2, 3, 4], [2, 2]);
  expect(() => linear(x, x, { bias: device.tensor([1, 2, 3], [3]) })).toThrow(/bias has shape \[3\], expected \[2\]/);
});
