import fc from "fast-check";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Device, Tensor } from "../../../engine/index.ts";
import { recordProgram } from "../../../engine/index.ts";
import { normLinear } from "../../../engine/ops/norm_linear.ts";
import { checkGradient, checkOperation, oddLength, roundOff, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { linearReference } from "../../reference/matmul.ts";

/** Each drawn epilogue is a pipeline of its own, and a busy two-core machine takes seconds for one with shared tiles. */
const compileLimitMs = 150_000;

let device: Device;
beforeAll(async () => {
  device = await testDevice({ canaries: true });
});
afterEach(() => device.tuning.force("norm_linear", undefined));

interface Case {
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly hasBias: boolean;
  readonly gelu: boolean;
  /** Constant added to every row, which layer norm removes. */
  readonly offset: number;
  /** Value of one element in each row, as the few giant features of trained ViTs. */
  readonly outlier: number;
  readonly seed: number;
}

const epsilon = 1e-6;

/** Mostly multiples of 4, since one dispatch takes nothing else. */
function drawLength(longest: number): fc.Arbitrary<number> {
  const wide = oddLength(longest).map((length) => 4 * Math.ceil(length / 4));
  return fc.oneof({ weight: 4, arbitrary: wide }, { weight: 1, arbitrary: oddLength(longest) });
}

function drawCase(longest: number): fc.Arbitrary<Case> {
  return fc.record({
    rows: oddLength(longest),
    inputs: drawLength(longest).filter((length) => length >= 7),
    outputs: drawLength(longest),
    hasBias: fc.boolean(),
    gelu: fc.boolean(),
    offset: fc.constantFrom(0, 0, 1, -30),
    outlier: fc.constantFrom(0, 0, 40, -100),
    seed: fc.integer({ min: 1, max: 2 ** 30 }),
  });
}

function operandsOf({ rows, inputs, outputs, offset, outlier, seed }: Case) {
  const at = seed % inputs;
  const x = valuesOf("normal", seed, rows * inputs).map((value, i) => (i % inputs === at ? outlier : value) + offset);
  return {
    x: { data: x, shape: [rows, inputs] },
    scale: { data: valuesOf("normal", seed + 1, inputs), shape: [inputs] },
    shift: { data: valuesOf("normal", seed + 2, inputs), shape: [inputs] },
    weight: { data: valuesOf("normal", seed + 3, outputs * inputs), shape: [outputs, inputs] },
    bias: { data: valuesOf("normal", seed + 4, outputs), shape: [outputs] },
  };
}

function run({ x, scale, shift, weight, bias }: Readonly<Record<string, Tensor>>, drawn: Case): Tensor {
  if (!x || !scale || !shift || !weight) throw new Error("an operand is missing");
  return normLinear(x, { weight: scale, bias: shift, epsilon }, weight, {
    ...(drawn.hasBias ? { bias } : {}),
    ...(drawn.gelu ? { activation: "gelu" } : {}),
  });
}

function reference(operands: Readonly<Record<string, Float64Array>>, drawn: Case): Float64Array {
  const { x = new Float64Array(), scale, shift, weight = [], bias } = operands;
  const { rows, inputs, outputs, hasBias, gelu } = drawn;
  const normal = new Float64Array(x.length);
  for (let row = 0; row < rows; row++) {
    const values = x.subarray(row * inputs, (row + 1) * inputs);
    const mean = values.reduce((sum, value) => sum + value, 0) / inputs;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / inputs;
    values.forEach((value, k) => {
      normal[row * inputs + k] =
        ((value - mean) / Math.sqrt(variance + epsilon)) * (scale?.[k] ?? 1) + (shift?.[k] ?? 0);
    });
  }
  return linearReference(normal, weight, { rows, inputs, outputs }, { bias: hasBias ? bias : undefined, gelu });
}

describe.each(["fused", "separate"])("%s", (name) => {
  it(
    "equals float64 layer norm and linear layer, with offsets and giant features",
    async (context) => {
      if (name === "fused" && (device.subgroupSize ?? 0) < 8) context.skip(`${device.info.name}: no subgroups of 8`);
      device.tuning.force("norm_linear", name);
      await checkOperation(device, {
        cases: drawCase(131),
        operands: operandsOf,
        run: (operands, drawn) => ({ y: run(operands, drawn) }),
        reference: (operands, drawn) => ({ y: reference(operands, drawn) }),
        // Two sums of `inputs` products instead of one, statistics of as many terms, and x - centre rounded once relative
        // to |offset| standard deviations.
        bound: ({ inputs, offset }) => (8 * (inputs + 8) + 8 * Math.abs(offset)) * roundOff,
        floor: 1, // the size of one term: a sum that cancels, or GELU far below 0, keeps the error of its terms
        runs: 25,
      });
    },
    compileLimitMs,
  );

  it(
    "has the gradients of central differences for all five operands",
    async (context) => {
      if (name === "fused" && (device.subgroupSize ?? 0) < 8) context.skip(`${device.info.name}: no subgroups of 8`);
      device.tuning.force("norm_linear", name);
      await checkGradient(device, {
        cases: drawCase(37),
        operands: operandsOf,
        run,
        reference,
        wrt: ["x", "scale", "shift", "weight", "bias"],
        runs: 15,
        bound: 3e-4, // layer norm cancels most of dx where one giant feature sets the deviation
        // Far below 0 the slope of GELU is less than its own error of 1.5e-7; 37 rows and outputs of that reach 6e-6.
        floor: 0.1,
      });
    },
    compileLimitMs,
  );
});

it("a row has the same bits in a workgroup of several tiles as by itself", async (context) => {
  if ((device.subgroupSize ?? 0) < 8) context.skip(`${device.info.name}: no subgroups of 8`);
  device.tuning.force("norm_linear", "fused");
  // 17 tiles of rows, 8 at a time with subgroups of 8 and the last one alone; the last tile has one row.
  const drawn = { rows: 513, inputs: 24, outputs: 1028, hasBias: true, gelu: false, offset: 1, outlier: 0, seed: 5 };
  const { x, ...parameters } = operandsOf(drawn);
  const given = Object.fromEntries(
    Object.entries(parameters).map(([name, { data, shape }]) => [name, device.tensor(data, shape)]),
  );
  const valuesOfRows = async (from: number, to: number): Promise<number[]> => {
    const rows = device.tensor(x.data.slice(from * drawn.inputs, to * drawn.inputs), [to - from, drawn.inputs]);
    return [...(await run({ ...given, x: rows }, drawn).read())];
  };
  const whole = await valuesOfRows(0, drawn.rows);
  for (const from of [0, 32, 224, 256, 480, 512]) {
    const to = Math.min(from + 32, drawn.rows);
    expect(whole.slice(from * drawn.outputs, to * drawn.outputs)).toEqual(await valuesOfRows(from, to));
  }
});

it("is one dispatch forward and four backward where subgroups and widths allow it", (context) => {
  if ((device.subgroupSize ?? 0) < 8) context.skip(`${device.info.name}: no subgroups of 8`);
  device.tuning.force("norm_linear", "fused");
  const drawn = { rows: 40, inputs: 24, outputs: 48, hasBias: true, gelu: false, offset: 0, outlier: 0, seed: 1 };
  const hosts = operandsOf(drawn);
  const step = recordProgram(device, (program) => {
    const x = program.input("x", hosts.x.shape);
    const parameters = Object.fromEntries(
      Object.entries(hosts).map(([name, { data, shape }]) => [name, device.tensor(data, shape)]),
    );
    const y = run({ ...parameters, x }, drawn);
    expect(program.commands).toHaveLength(1);
    const targets = [x, ...["scale", "shift", "weight", "bias"].flatMap((name) => parameters[name] ?? [])];
    const gradients = program.gradients(y, targets, program.input("seed", y.shape));
    return Object.fromEntries(gradients.map((gradient, i) => [`gradient${i}`, gradient]));
  });
  expect(step.plan.commands).toHaveLength(1 + 4);
});

it("refuses an epsilon that is not positive", () => {
  const x = device.tensor([1, 2, 3, 4], [2, 2]);
  const ones = device.tensor([1, 1], [2]);
  expect(() => normLinear(x, { weight: ones, bias: ones, epsilon: 0 }, x)).toThrow(/epsilon 0 is not positive/);
});
