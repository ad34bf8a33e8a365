import fc from "fast-check";
import { expect, it } from "vitest";
import { DTypeError, OptionError, ShapeError } from "../../../engine/index.ts";
import { concat } from "../../../engine/ops/concat.ts";
import { checkGradient, checkOperation, type HostOperands, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { concatReference } from "../../reference/movement.ts";

const device = await testDevice({ canaries: true });
const length = fc.constantFrom(1, 2, 3, 4, 8, 13);
const cases = fc.record({
  shape: fc.array(length, { minLength: 1, maxLength: 4 }),
  axis: fc.nat(3),
  lengths: fc.array(length, { minLength: 1, maxLength: 4 }),
  seed: fc.integer(),
});
interface Case {
  readonly shape: readonly number[];
  readonly axis: number;
  readonly lengths: readonly number[];
  readonly seed: number;
}
const axisOf = ({ shape, axis }: Case) => axis % shape.length;
const operands = (drawn: Case): HostOperands =>
  Object.fromEntries(
    drawn.lengths.map((joined, i) => {
      const shape = [...drawn.shape].with(axisOf(drawn), joined);
      const size = shape.reduce((product, other) => product * other, 1);
      return [`x${i}`, { data: valuesOf("normal", drawn.seed + i, size), shape }];
    }),
  );
const reference = (values: Readonly<Record<string, Float64Array>>, drawn: Case) =>
  concatReference(
    drawn.lengths.map((joined, i) => ({
      shape: [...drawn.shape].with(axisOf(drawn), joined),
      data: [...(values[`x${i}`] ?? [])],
    })),
    axisOf(drawn),
  ).data;

it("concat lays tensors one after the other along any axis, exactly", async () => {
  await checkOperation<Case>(device, {
    cases,
    operands,
    run: (tensors, drawn) => ({ y: concat(Object.values(tensors), axisOf(drawn)) }),
    reference: (values, drawn) => ({ y: reference(values, drawn) }),
    bound: () => 0,
  });
});

it("the gradient of concat agrees with finite differences", async () => {
  await checkGradient<Case>(device, {
    cases,
    operands,
    run: (tensors, drawn) => concat(Object.values(tensors), axisOf(drawn)),
    reference,
    wrt: ["x0"],
  });
});

it("concat names the tensor that does not fit", () => {
  const a = device.tensor([1, 2], [1, 2]);
  expect(() => concat([])).toThrow(OptionError);
  expect(() => concat([a, device.tensor([1, 2, 3], [1, 3])])).toThrow(
    new ShapeError("concat: tensor 1 has shape [1, 3], expected [1, 2]"),
  );
  expect(() => concat([a, device.tensor([1, 2], [1, 2], "u32")])).toThrow(DTypeError);
});
