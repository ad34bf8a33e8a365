import fc from "fast-check";
import { it } from "vitest";
import { meanSquareError } from "../../../engine/ops/mean_square_error.ts";
import { checkGradient, checkOperation, oddLength, toleranceOf, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";

const device = await testDevice({ canaries: true });
const check = {
  cases: fc.record({ size: oddLength(257), seed: fc.integer() }),
  operands: ({ size, seed }: { size: number; seed: number }) => ({
    a: { data: valuesOf("normal", seed, size), shape: [size] },
    b: { data: valuesOf("normal", seed ^ 1, size), shape: [size] },
  }),
};
const evaluate = ({ a = new Float64Array(), b = new Float64Array() }: Readonly<Record<string, Float64Array>>) => [
  a.reduce((sum, v, i) => sum + (v - (b[i] ?? 0)) ** 2, 0) / a.length,
];

it("the mean square error agrees with float64", async () => {
  await checkOperation(device, {
    ...check,
    run: (given) => ({ y: meanSquareError(operand(given, "a"), operand(given, "b")) }),
    reference: (given) => ({ y: evaluate(given) }),
    bound: () => toleranceOf(24), // blocks of 64 in four strands, the pass over the blocks, difference, square, scale
  });
});

it("the mean square error has the gradients of finite differences", async () => {
  await checkGradient(device, {
    ...check,
    run: (given) => meanSquareError(operand(given, "a"), operand(given, "b")),
    reference: evaluate,
    wrt: ["a", "b"],
  });
});
