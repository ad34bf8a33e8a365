import fc from "fast-check";
import { expect, it } from "vitest";
import { f16ToF32, f32ToF16 } from "../../../engine/core/half_precision.ts";
import { cast, linear, recordProgram, type Tensor } from "../../../engine/index.ts";
import { checkGradient, checkOperation, oddLength, roundOff, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { linearReference } from "../../reference/matmul.ts";

const device = await testDevice();
const hasHalf = device.features.has("shader-f16");
const reason = `${device.info.name}: no shader-f16`;
const halfRoundOff = 2 ** -11; // 11-bit mantissa

interface Case {
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly gelu: boolean;
  readonly seed: number;
}

const cases: fc.Arbitrary<Case> = fc.record({
  rows: oddLength(70),
  inputs: oddLength(37),
  outputs: oddLength(37),
  gelu: fc.boolean(),
  seed: fc.integer({ min: 1, max: 2 ** 30 }),
});

function operandsOf({ rows, inputs, outputs, seed }: Case) {
  return {
    x: { data: valuesOf("normal", seed, rows * inputs), shape: [rows, inputs] },
    weight: { data: valuesOf("normal", seed + 1, outputs * inputs), shape: [outputs, inputs] },
    bias: { data: valuesOf("normal", seed + 2, outputs), shape: [outputs] },
    residual: { data: valuesOf("normal", seed + 3, rows * outputs), shape: [rows, outputs] },
  };
}

function run({ x, weight, bias, residual }: Readonly<Record<string, Tensor>>, { gelu }: Case): Tensor {
  if (!x || !weight || !residual) throw new Error("an operand is missing");
  const options = { bias, residual: cast(residual, "f16"), ...(gelu ? { activation: "gelu" as const } : {}) };
  return cast(linear(cast(x, "f16"), weight, options), "f32");
}

/** The values as f16 holds them. */
function rounded(values: ArrayLike<number> = []): Float64Array {
  return Float64Array.from(f16ToF32(f32ToF16(Float32Array.from(values))));
}

it("f16 rows times f32 weights equal the float64 layer on operands rounded to f16", async (context) => {
  if (!hasHalf) context.skip(reason);
  await checkOperation(device, {
    cases,
    operands: operandsOf,
    run: (operands, drawn) => ({ y: run(operands, drawn) }),
    reference: ({ x, weight, bias, residual }, { rows, inputs, outputs, gelu }) => ({
      y: linearReference(
        rounded(x),
        rounded(weight),
        { rows, inputs, outputs },
        { bias, gelu, residual: rounded(residual) },
      ),
    }),
    // One rounding of the result to f16; the sums are those of the f32 layer (linear.test.ts).
    bound: ({ inputs }) => halfRoundOff + (4 * (inputs + 4) + 6) * roundOff,
    floor: 1,
  });
});

it("its gradients are those of the float64 layer up to the rounding of its operands", async (context) => {
  if (!hasHalf) context.skip(reason);
  const length = fc.integer({ min: 16, max: 70 }); // a sum of few terms may cancel, and its rounding would be all that is left
  await checkGradient(device, {
    cases: fc.record({ rows: length, inputs: length, outputs: length, gelu: fc.boolean(), seed: fc.nat() }),
    operands: operandsOf,
    run,
    reference: ({ x = [], weight = [], bias, residual }, { rows, inputs, outputs, gelu }) =>
      linearReference(x, weight, { rows, inputs, outputs }, { bias, gelu, residual }),
    wrt: ["x", "weight", "bias", "residual"],
    // A product of two rounded operands, times the slope of GELU, which is kept less 1/2 and rounded once, and the result:
    // four roundings, and the kept slope's own error of up to 0.63 roundings, all relative to the sum of magnitudes.
    bound: 6 * halfRoundOff,
  });
});

it("writes the gradient of f32 weights in f32, where f16 would give zero", async (context) => {
  if (!hasHalf) context.skip(reason);
  const weight = device.tensor(valuesOf("normal", 1, 12), [3, 4]);
  const tiny = 2 ** -20; // a subnormal f16; its products with the rows below are under the smallest f16 of 2^-24
  const recorded = recordProgram(device, (program) => {
    const y = linear(cast(program.input("x", [5, 4]), "f16"), weight);
    const [dWeight] = program.gradients(y, [weight], cast(program.input("dy", [5, 3]), "f16"));
    return { dWeight: dWeight ?? y };
  });
  const inputs = { x: new Float32Array(20).fill(2 ** -10), dy: new Float32Array(15).fill(tiny) };
  const { dWeight } = await (await recorded.run(inputs, ["dWeight"])).read();
  expect(recorded.outputs.dWeight.dtype).toBe("f32");
  expect([...dWeight]).toEqual(new Array(12).fill(5 * 2 ** -30));
  recorded.destroy();
});

it("refuses f16 weights for f32 rows", (context) => {
  if (!hasHalf) context.skip(reason);
  const weight = cast(device.tensor(valuesOf("normal", 1, 12), [3, 4]), "f16");
  expect(() => linear(device.tensor(new Float32Array(4), [1, 4]), weight)).toThrow(/weight is f16, expected f32/);
});
