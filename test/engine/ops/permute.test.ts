import fc from "fast-check";
import { expect, it } from "vitest";
import type { Tensor } from "../../../engine/core/tensor.ts";
import { AxisError, recordProgram } from "../../../engine/index.ts";
import { permute, transpose } from "../../../engine/ops/permute.ts";
import { checkGradient, checkOperation, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { permuteReference } from "../../reference/movement.ts";

const device = await testDevice({ canaries: true });

const size = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);
const operand = ({ x }: Readonly<Record<string, Tensor>>): Tensor => {
  if (!x) throw new Error("x is missing");
  return x;
};
/** Lengths that are and are not multiples of the 2 and 4 elements that move at once. */
const length = fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 12, 16, 20);
const cases = fc
  .array(length, { minLength: 1, maxLength: 6 })
  .filter((shape) => size(shape) <= 4000)
  .chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      axes: fc.shuffledSubarray([...shape.keys()], { minLength: shape.length, maxLength: shape.length }),
      seed: fc.integer(),
    }),
  );

it("permute moves every element of up to six axes to its place, exactly", async () => {
  await checkOperation(device, {
    cases,
    operands: ({ shape, seed }) => ({ x: { data: valuesOf("normal", seed, size(shape)), shape } }),
    run: (operands, { axes }) => ({ y: permute(operand(operands), axes) }),
    reference: ({ x }, { shape, axes }) => ({ y: permuteReference({ shape, data: [...(x ?? [])] }, axes).data }),
    bound: () => 0,
    runs: 40,
  });
});

it("the gradient of permute agrees with finite differences", async () => {
  await checkGradient(device, {
    cases,
    operands: ({ shape, seed }) => ({ x: { data: valuesOf("normal", seed, size(shape)), shape } }),
    run: (operands, { axes }) => permute(operand(operands), axes),
    reference: ({ x }, { shape, axes }) => permuteReference({ shape, data: [...(x ?? [])] }, axes).data,
    wrt: ["x"],
  });
});

it("a matrix of whole 4 × 4 tiles is transposed in registers, any other one element by element", () => {
  const kernelOf = (shape: readonly number[]) =>
    recordProgram(device, (p) => ({ y: transpose(p.input("x", shape)) })).print();
  expect(kernelOf([3, 64, 48])).toContain("strided_transpose");
  expect(kernelOf([3, 63, 48])).toContain("strided_copy");
});

it("runs split off along one axis still reach every element of a large tensor", async () => {
  const [rows, columns] = [1031, 516];
  const data = Float32Array.from({ length: rows * columns }, (_, i) => i);
  const y = await transpose(device.tensor(data, [rows, columns])).read();
  const misplaced = y.findIndex((value, i) => value !== (i % rows) * columns + Math.floor(i / rows));
  expect(misplaced).toBe(-1);
});

it("permute keeps the bits of f16 elements", async () => {
  const halves = Uint16Array.from({ length: 3 * 8 * 5 }, (_, i) => 0x3c00 + i);
  for (const axes of [
    [1, 0, 2],
    [2, 1, 0],
  ]) {
    if (!device.features.has("shader-f16")) continue;
    const y = await permute(device.tensor(halves, [3, 8, 5], "f16"), axes).read();
    expect([...y]).toEqual(permuteReference({ shape: [3, 8, 5], data: [...halves] }, axes).data);
  }
});

it("permute names the axes that are not a permutation", () => {
  const x = device.tensor([1, 2], [1, 2]);
  expect(() => permute(x, [0, 0])).toThrow(new AxisError("permute: axes [0, 0] do not name each axis of [1, 2] once"));
  expect(() => permute(x, [0, 2])).toThrow(AxisError);
});
