import { describe, expect, it } from "vitest";
import { type Kernel, recordProgram, type Tensor } from "../../../engine/index.ts";
import {
  type BinaryOperation,
  binaryBroadcastKernel,
  binaryInPlaceKernel,
  binaryKernel,
  binaryOperations,
  binaryScalarInPlaceKernel,
  binaryScalarKernel,
} from "../../../engine/ops/binary.ts";
import { type Comparison, compareKernel, comparisons } from "../../../engine/ops/compare.ts";
import { type UnaryOperation, unaryGradKernel, unaryKernel, unaryOperations } from "../../../engine/ops/unary.ts";
import { expectClose, toleranceOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { erf } from "../../reference/gelu.ts";

const device = await testDevice();

/** Two vectors of four, positive, since logarithm, roots and powers ask for that; equal and unequal pairs for the comparisons. */
const left = [0.3, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.75];
const right = [2.5, 0.5, 0.25, 1.5, 1.25, 0.75, 3, 1];
const scalar = 1.5;

const unary: Record<UnaryOperation, (x: number) => number> = {
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  tanh: Math.tanh,
  neg: (x) => -x,
  abs: Math.abs,
  square: (x) => x * x,
  reciprocal: (x) => 1 / x,
  sign: Math.sign,
  relu: (x) => Math.max(x, 0),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  silu: (x) => x / (1 + Math.exp(-x)),
  softplus: (x) => Math.log1p(Math.exp(x)),
  sin: Math.sin,
  cos: Math.cos,
  floor: Math.floor,
  ceil: Math.ceil,
  round: (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)), // halves to even
  erf,
  log1p: Math.log1p,
  expm1: Math.expm1,
};
/** Slopes as the kernel writes them: of x, or of y where its comment says so. */
const slopes: Record<UnaryOperation, (kept: number) => number> = {
  exp: (y) => y,
  log: (x) => 1 / x,
  sqrt: (y) => 0.5 / y,
  rsqrt: (y) => -0.5 * y ** 3,
  tanh: (y) => 1 - y * y,
  neg: () => -1,
  abs: Math.sign,
  square: (x) => 2 * x,
  reciprocal: (y) => -y * y,
  sign: () => 0,
  relu: (y) => (y > 0 ? 1 : 0),
  sigmoid: (y) => y * (1 - y),
  silu: (x) => (1 + x / (1 + Math.exp(x))) / (1 + Math.exp(-x)),
  softplus: (x) => 1 / (1 + Math.exp(-x)),
  sin: Math.cos,
  cos: (x) => -Math.sin(x),
  floor: () => 0,
  ceil: () => 0,
  round: () => 0,
  erf: (x) => (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x),
  log1p: (x) => 1 / (1 + x),
  expm1: (y) => 1 + y,
};
const binary: Record<BinaryOperation, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  maximum: Math.max,
  minimum: Math.min,
  pow: (a, b) => a ** b,
};
const compared: Record<Comparison, (a: number, b: number) => boolean> = {
  equal: (a, b) => a === b,
  notEqual: (a, b) => a !== b,
  less: (a, b) => a < b,
  lessEqual: (a, b) => a <= b,
  greater: (a, b) => a > b,
  greaterEqual: (a, b) => a >= b,
};

interface Family {
  readonly kernel: Kernel;
  readonly names: readonly string[];
  readonly reference: (name: string) => number[];
  /** What a number outside of the table gives. */
  readonly unknown: number;
  readonly run: (operation: number) => Promise<number[]>;
}

const pairwise = (f: (a: number, b: number) => number) => left.map((a, i) => f(a, right[i] ?? Number.NaN));
const lookUp = <T>(table: Readonly<Record<string, T>>, name: string): T => {
  const found = table[name];
  if (!found) throw new Error(`no reference for ${name}`);
  return found;
};
const fourAxes = { count: 2, shape: [1, 1, 1, 2], aStrides: [0, 0, 0, 1], bStrides: [0, 0, 0, 1] };
const eightAxes = { ...fourAxes, count: 8, shape: [1, 1, 1, 8] };

const families: Family[] = [
  {
    kernel: unaryKernel,
    names: unaryOperations,
    reference: (name) => left.map(lookUp(unary, name)),
    unknown: Number.NaN,
    run: (operation) => launch(unaryKernel, operation, { count: 2 }, { x: left }),
  },
  {
    kernel: unaryGradKernel,
    names: unaryOperations,
    reference: (name) => pairwise((kept, dy) => dy * lookUp(slopes, name)(kept)),
    unknown: Number.NaN,
    run: (operation) => launch(unaryGradKernel, operation, { count: 2 }, { kept: left, dy: right }, "dx"),
  },
  ...[binaryKernel, binaryBroadcastKernel].map((kernel) => ({
    kernel,
    names: binaryOperations,
    reference: (name: string) => pairwise(lookUp(binary, name)),
    unknown: Number.NaN,
    run: (operation: number) =>
      launch(kernel, operation, kernel === binaryKernel ? { count: 2 } : fourAxes, { a: left, b: right }),
  })),
  {
    kernel: binaryInPlaceKernel,
    names: binaryOperations,
    reference: (name) => pairwise(lookUp(binary, name)),
    unknown: Number.NaN,
    run: (operation) => launch(binaryInPlaceKernel, operation, { count: 2 }, { y: left, b: right }),
  },
  ...[binaryScalarKernel, binaryScalarInPlaceKernel].map((kernel) => ({
    kernel,
    names: binaryOperations,
    reference: (name: string) => left.map((a) => lookUp(binary, name)(a, scalar)),
    unknown: Number.NaN,
    run: (operation: number) =>
      launch(kernel, operation, { count: 2, scalar }, kernel === binaryScalarKernel ? { x: left } : { y: left }),
  })),
  {
    kernel: compareKernel,
    names: comparisons,
    reference: (name) => pairwise((a, b) => Number(lookUp(compared, name)(a, b))),
    unknown: 0xffffffff,
    run: (operation) => launch(compareKernel, operation, eightAxes, { a: left, b: right }),
  },
];

/** One launch with the given number of the operation. */
async function launch(
  kernel: Kernel,
  operation: number,
  params: Readonly<Record<string, number | number[]>>,
  values: Readonly<Record<string, readonly number[]>>,
  result = "y",
): Promise<number[]> {
  const output = device.tensor(values[result] ?? left.map(() => 7), [8], kernel === compareKernel ? "u32" : "f32");
  const operands: Record<string, Tensor> = {};
  for (const [name, data] of Object.entries(values)) operands[name] = device.tensor(data, [8]);
  operands[result] = output;
  const recorded = recordProgram(device, (p) => {
    p.dispatch(kernel, params, operands, [1], { constants: { operation } });
    return {};
  });
  await recorded.run({});
  const read = [...(await output.read())];
  recorded.destroy();
  for (const tensor of Object.values(operands)) tensor.destroy();
  return read;
}

describe.each(families.map((family): [string, Family] => [family.kernel.name, family]))("%s", (_name, family) => {
  const { kernel, names, reference, unknown, run } = family;

  it("has a branch for every operation of its list, and no other", () => {
    const branches = [...kernel.source.matchAll(/\(operation == (\d+)u\)/g)].map(([, number]) => Number(number));
    expect(branches).toEqual(names.map((_, number) => number));
  });

  it.each(names.map((name, number) => ({ name, number })))("computes $name", async ({ name, number }) => {
    // pow, the least accurate: exp2(b log2 a) with |b log2 a| below 5
    expectClose(name, await run(number), reference(name), toleranceOf(84));
  });

  it("computes nothing for a number outside of the list", async () => {
    for (const number of [names.length, names.length + 1, 1000, 0xffffffff]) {
      expect(await run(number)).toEqual(left.map(() => unknown));
    }
  });
});
