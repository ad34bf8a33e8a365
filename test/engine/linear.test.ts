import fc from "fast-check";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Device, Tensor } from "../../engine/index.ts";
import { recordProgram } from "../../engine/index.ts";
import { linear } from "../../engine/ops/linear.ts";
import { matmulVariants } from "../../engine/ops/matmul_kernels.ts";
import { checkGradient, checkOperation, oddLength, roundOff, valueKind, valuesOf } from "../../engine/testing/index.ts";
import { testDevice } from "../device.ts";
import { linearReference } from "../reference/matmul.ts";

let device: Device;
beforeAll(async () => {
  device = await testDevice();
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

function drawCase(longest: number, kinds = valueKind): fc.Arbitrary<Case> {
  return fc.record({
    leading: fc.integer({ min: 1, max: 3 }),
    rows: oddLength(longest),
    inputs: oddLength(longest),
    outputs: oddLength(longest),
    hasBias: fc.boolean(),
    gelu: fc.boolean(),
    hasResidual: fc.boolean(),
    kind: kinds,
    seed: fc.integer({ min: 1, max: 2 ** 30 }),
  });
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

describe.each(matmulVariants.map((variant) => variant.name))("variant %s", (name) => {
  it("equals the float64 layer with every epilogue", async (context) => {
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
      floor: 1e-6,
      runs: 12,
    });
  });

  it("has the gradients of central differences for input, weight, bias and residual", async (context) => {
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
    });
  });
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

it("keeps no pre-activation in an inference program", () => {
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
