import fc from "fast-check";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { f16ToF32, f32ToF16 } from "../../../engine/core/half_precision.ts";
import { cast, type Device, linear, recordProgram, type Tensor } from "../../../engine/index.ts";
import { matmulVariants } from "../../../engine/ops/matmul_kernels.ts";
import { type Epilogue, recordProduct } from "../../../engine/ops/matmul_product.ts";
import { deepestHalfSum, matrixVariants } from "../../../engine/ops/products/matrix_variants.ts";
import { oddLength, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { batchedMatmulReference, erfReference } from "../../reference/matmul.ts";

/** Each form is a kernel of its own, and each drawn epilogue a pipeline. */
const compileLimitMs = 300_000;

let device: Device;
beforeAll(async () => {
  device = await testDevice({ canaries: true });
});
afterEach(() => device.tuning.force("matmul", undefined));

const reason = (name: string, depth = 64): string | undefined =>
  matmulVariants
    .find((variant) => variant.name === name)
    ?.unsupported(device, { rows: 64, columns: 64, depth, batches: 1, dtype: "f16" });

/** Skips where the adapter has no matrices, with what it lacks. */
function skipWithout(name: string, context: { skip(note: string): void }): void {
  const lack = reason(name);
  if (lack !== undefined) context.skip(`${device.info.name}: ${lack}`);
}

interface Case {
  readonly variant: string;
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly batches: number;
  readonly batched: "both" | "a" | "b";
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly seed: number;
}

/** Odd lengths, and multiples of 8, whose inner matrices are loaded straight from memory. */
function drawLength(longest: number): fc.Arbitrary<number> {
  return fc
    .tuple(oddLength(longest), fc.boolean())
    .map(([length, isEven]) => (isEven ? 8 * Math.ceil(length / 8) : length));
}

function drawCase(names: readonly string[], longest: number, deepest = longest): fc.Arbitrary<Case> {
  return fc.record({
    variant: fc.constantFrom(...names),
    rows: drawLength(longest),
    columns: drawLength(longest),
    depth: drawLength(deepest),
    batches: fc.integer({ min: 1, max: 2 }),
    batched: fc.constantFrom("both", "a", "b"),
    transposeA: fc.boolean(),
    transposeB: fc.boolean(),
    seed: fc.integer({ min: 1, max: 2 ** 30 }),
  });
}

/** Lengths of which the first tiles lie inside, whose matrices come straight from memory unless the operand is transposed. */
function aligned(variant: string): Case[] {
  const sizes = { variant, rows: 136, columns: 152, depth: 40, batches: 2, batched: "both" as const };
  return [false, true].flatMap((transposeA) =>
    [false, true].map((transposeB) => ({ ...sizes, transposeA, transposeB, seed: 1 })),
  );
}

/** Normal draws as f16 holds them. */
function halves(seed: number, length: number): Float32Array {
  return f16ToF32(f32ToF16(Float32Array.from(valuesOf("normal", seed, length))));
}

interface Operands {
  readonly a: Float32Array;
  readonly b: Float32Array;
}

function operandsOf({ rows, columns, depth, batches, batched, seed }: Case): Operands {
  return {
    a: halves(seed, rows * depth * (batched === "b" ? 1 : batches)),
    b: halves(seed + 1, depth * columns * (batched === "a" ? 1 : batches)),
  };
}

/** The product with its epilogue on f16 operands; all results in f32, so that only the kernel's own error is seen. */
async function multiply(drawn: Case, { a, b }: Operands, epilogueOf: (y: Tensor) => Epilogue = () => ({})) {
  const { rows, columns, depth, batches, batched, transposeA, transposeB } = drawn;
  device.tuning.force("matmul", drawn.variant);
  const given = { a: device.tensor(f32ToF16(a), [a.length], "f16"), b: device.tensor(f32ToF16(b), [b.length], "f16") };
  const step = recordProgram(device, (program) => {
    const y = program.empty([batches, rows, columns]);
    const epilogue = epilogueOf(y);
    const operands = { ...given, rows, columns, depth, batches, transposeA, transposeB };
    recordProduct(program, { ...operands, aBatched: batched !== "b", bBatched: batched !== "a", epilogue }, y);
    const { slope, rowSums } = epilogue;
    const outputs: Record<string, Tensor> = { y };
    if (slope) outputs.slope = slope;
    if (rowSums) outputs.rowSums = rowSums;
    return outputs;
  });
  const kernels = step.program.commands.map((command) => (command.type === "dispatch" ? command.kernel.name : ""));
  expect(kernels).toContain("matmul_matrix");
  const results: Readonly<Record<string, ArrayLike<number>>> = await (
    await step.run({}, Object.keys(step.outputs))
  ).read();
  step.destroy();
  given.a.destroy();
  given.b.destroy();
  return results;
}

/** Fails unless each value is within `relative` of its sum of magnitudes, and `absolute`. */
function expectWithin(
  values: ArrayLike<number> = [],
  {
    expected,
    magnitudes,
    relative,
    absolute = 0,
  }: { expected: Float64Array; magnitudes: Float64Array; relative: number; absolute?: number },
): void {
  expect(values.length).toBe(expected.length);
  const worst = expected.reduce((most, value, i) => {
    const bound = relative * (magnitudes[i] ?? 0) + absolute;
    const error = Math.abs((values[i] ?? Number.NaN) - value);
    return error <= bound ? most : Math.max(most, error / bound || Number.POSITIVE_INFINITY);
  }, 0);
  expect(worst, "largest error in units of its bound").toBe(0);
}

function sumsOf(drawn: Case, { a, b }: Operands) {
  return {
    expected: batchedMatmulReference(a, b, drawn),
    magnitudes: batchedMatmulReference(a.map(Math.abs), b.map(Math.abs), drawn),
  };
}

const singleSums = matrixVariants.filter(({ sums }) => sums === "f32").map(({ name }) => name);
const halfSums = matrixVariants.filter(({ sums }) => sums === "f16").map(({ name }) => name);
const roundOff = 2 ** -24;
const halfRoundOff = 2 ** -11;

describe("f16 operands and f32 sums err by at most 1e-6 of the sum of magnitudes", () => {
  const check = async (names: readonly string[], runs: number, deepest = 131): Promise<void> => {
    const cases = drawCase(names, 131, deepest).filter(({ variant, depth }) => reason(variant, depth) === undefined);
    await fc.assert(
      fc.asyncProperty(cases, async (drawn) => {
        const operands = operandsOf(drawn);
        const { y } = await multiply(drawn, operands);
        expectWithin(y, { ...sumsOf(drawn, operands), relative: 1e-6 });
      }),
      { numRuns: runs },
    );
  };

  for (const name of ["matrix_1x1_2x2", "matrix_2x2_2x2", "matrix_2x2_4x4"]) {
    it(
      name,
      async (context) => {
        skipWithout(name, context);
        for (const drawn of aligned(name)) {
          const operands = operandsOf(drawn);
          const { y } = await multiply(drawn, operands);
          expectWithin(y, { ...sumsOf(drawn, operands), relative: 1e-6 });
        }
        await check([name], 6);
      },
      compileLimitMs,
    );
  }

  it(
    "forms drawn from all",
    async (context) => {
      skipWithout("matrix_1x1_2x2", context);
      await check(singleSums, 10);
    },
    compileLimitMs,
  );

  it(
    "in parts of the depth",
    async (context) => {
      skipWithout("matrix_1x1_2x2_split", context);
      await check(["matrix_1x1_2x2_split", "matrix_2x1_2x4_split", "matrix_1x2_4x2_split"], 8, 400);
    },
    compileLimitMs,
  );
});

it(
  "f16 sums err by at most (depth + 2) roundings of f16, up to the depth where that is 1/16",
  async (context) => {
    const [name = ""] = halfSums;
    skipWithout(name, context);
    await fc.assert(
      fc.asyncProperty(drawCase([name], 70, deepestHalfSum), async (drawn) => {
        if (reason(name, drawn.depth) !== undefined) return;
        const operands = operandsOf(drawn);
        const { y } = await multiply(drawn, operands);
        // Each product and each of up to depth + 1 sums (of the padded step, too) is rounded once, relative to what was added up
        // so far (Higham, eq. 3.5); a product under 2^-14 by half of the smallest f16 instead.
        const { depth } = drawn;
        const growth = ((depth + 2) * halfRoundOff) / (1 - (depth + 2) * halfRoundOff);
        expectWithin(y, { ...sumsOf(drawn, operands), relative: growth, absolute: depth * 2 ** -25 });
      }),
      { numRuns: 16 },
    );
    expect(reason(name, deepestHalfSum + 1)).toMatch(/too much for f16 sums/);
  },
  compileLimitMs,
);

const slopeAt = (x: number): number =>
  (1 + erfReference(x / Math.SQRT2)) / 2 + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
const geluAt = (x: number): number => (x * (1 + erfReference(x / Math.SQRT2))) / 2;

describe.each(["matrix_1x1_2x2", "matrix_2x2_2x2", "matrix_1x1_2x2_split"])("%s", (name) => {
  it(
    "ends with bias, GELU and a residual, and keeps slopes and row sums",
    async (context) => {
      skipWithout(name, context);
      const kinds = fc.constantFrom("bias and GELU", "row sums and residual");
      const cases = drawCase([name], 70, 300).filter(({ depth }) => reason(name, depth) === undefined);
      await fc.assert(
        fc.asyncProperty(cases, kinds, async (any, kind) => {
          // As linear layers use them: no batches.
          const drawn: Case = { ...any, batches: 1 };
          const { rows, columns, depth, seed } = drawn;
          const operands = operandsOf(drawn);
          const { expected, magnitudes } = sumsOf(drawn, operands);
          const bias = Float32Array.from(valuesOf("normal", seed + 2, columns));
          const other = Float32Array.from(valuesOf("normal", seed + 3, rows * columns));
          const tensors = { bias: device.tensor(bias), other: device.tensor(other, [rows, columns]) };
          const { y, slope, rowSums } = await multiply(drawn, operands, (out) => ({
            ...(kind === "bias and GELU"
              ? { bias: tensors.bias, gelu: true, slope: out.program.empty(out.shape) }
              : {}),
            ...(kind === "row sums and residual"
              ? { residual: tensors.other, rowSums: out.program.empty([rows]) }
              : {}),
          }));
          for (const tensor of Object.values(tensors)) tensor.destroy();
          const sums = expected.map((value, i) => value + (bias[i % columns] ?? 0));
          // GELU and its slope err by 8e-8 (erf) and a few roundings, relative to what they are applied to; GELU's slope is at most 1.13.
          const after = { magnitudes: magnitudes.map((value) => value + 8), relative: 3e-6 };
          if (kind === "bias and GELU") {
            expectWithin(slope, { ...after, expected: sums.map((sum) => slopeAt(sum) - 0.5) });
            expectWithin(y, { ...after, expected: sums.map(geluAt) });
          } else {
            expectWithin(y, { ...after, expected: expected.map((value, i) => value + (other[i] ?? 0)) });
            const ones = new Float32Array(depth).fill(1);
            const rowsOf = (a: Float32Array): Float64Array =>
              batchedMatmulReference(a, ones, { ...drawn, columns: 1, transposeB: false });
            const bounds = { expected: rowsOf(operands.a), magnitudes: rowsOf(operands.a.map(Math.abs)) };
            expectWithin(rowSums, { ...bounds, relative: (depth + 4) * roundOff });
          }
        }),
        { numRuns: 6 },
      );
    },
    compileLimitMs,
  );
});

describe("layers of f16 rows and f32 weights", () => {
  const [rows, inputs, outputs] = [37, 48, 40];
  const x = halves(1, rows * inputs);
  const weight = halves(2, outputs * inputs);

  it(
    "have the values and gradients of the float64 layer, and fold the slope of GELU into the product before it",
    async (context) => {
      skipWithout("matrix_2x2_2x2", context);
      device.tuning.force("matmul", "matrix_2x2_2x2");
      const given = { w: device.tensor(weight, [outputs, inputs]), v: device.tensor(weight, [inputs, outputs]) };
      const step = recordProgram(device, (program) => {
        const hidden = linear(cast(program.input("x", [rows, inputs]), "f16"), given.w, { activation: "gelu" });
        const y = linear(hidden, given.v);
        const [dW] = program.gradients(y, [given.w], cast(program.input("dy", [rows, inputs]), "f16"));
        return { y: cast(y, "f32"), dW: dW ?? y };
      });
      const launches = step.program.commands.flatMap((command) =>
        command.type === "dispatch" && command.kernel.name === "matmul_matrix" ? [command.options.constants] : [],
      );
      // Forward twice, dy W plain (dropped by the planner) and once more with the slope, and the gradient of the weights.
      expect(launches.map((constants) => constants?.activation)).toEqual([1, 0, 0, 2, 0]);
      const seed = halves(4, rows * inputs);
      const results = await (await step.run({ x, dy: seed }, ["y", "dW"])).read();
      step.destroy();
      const layer = { batches: 1, rows, columns: outputs, depth: inputs, transposeB: true };
      const before = batchedMatmulReference(x, weight, layer);
      const hidden = Float32Array.from(before, geluAt);
      const last = { batches: 1, rows, columns: inputs, depth: outputs, transposeB: true };
      const y = batchedMatmulReference(hidden, weight, last);
      const dHidden = batchedMatmulReference(seed, weight, { batches: 1, rows, columns: outputs, depth: inputs });
      const dBefore = Float32Array.from(dHidden, (value, i) => value * slopeAt(before[i] ?? 0));
      const shape = { batches: 1, rows: outputs, columns: inputs, depth: rows, transposeA: true };
      const magnitude = (a: Float32Array, b: Float32Array, size: typeof last | typeof shape): Float64Array =>
        batchedMatmulReference(a.map(Math.abs), b.map(Math.abs), size).map((value) => value + 1);
      // Roundings to f16 of the slope, the hidden values, dy W and its product with the slope, and the result.
      const bounds = { relative: 6 * halfRoundOff };
      expectWithin(results.y, { ...bounds, expected: y, magnitudes: magnitude(hidden, weight, last) });
      const dW = batchedMatmulReference(dBefore, x, shape);
      expectWithin(results.dW, { ...bounds, expected: dW, magnitudes: magnitude(dBefore, x, shape) });
    },
    compileLimitMs,
  );
});
