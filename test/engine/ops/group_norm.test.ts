import fc from "fast-check";
import { expect, it } from "vitest";
import { cast, groupNorm, OptionError } from "../../../engine/index.ts";
import { checkGradient, checkOperation, toleranceOf, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";

const device = await testDevice({ canaries: true });
const cases = fc.record({
  batch: fc.constantFrom(1, 3),
  places: fc.constantFrom([7], [3, 4], [2, 1]),
  groups: fc.constantFrom(1, 2, 4),
  size: fc.constantFrom(2, 3, 8),
  seed: fc.integer(),
});
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;
const operands = ({ batch, places, groups, size, seed }: Case) => {
  const shape = [batch, ...places, groups * size];
  const given = (of: readonly number[], salt: number) => ({
    data: valuesOf(
      "normal",
      seed + salt,
      of.reduce((all, length) => all * length, 1),
    ),
    shape: of,
  });
  return { x: given(shape, 1), weight: given([groups * size], 2), bias: given([groups * size], 3) };
};

function reference(given: Readonly<Record<string, Float64Array>>, { batch, groups, size }: Case): Float64Array {
  const { x = new Float64Array(), weight = [], bias = [] } = given;
  const channels = groups * size;
  const perImage = x.length / batch;
  const groupOf = (i: number) => Math.floor(i / perImage) * groups + Math.floor((i % channels) / size);
  const count = perImage / groups;
  const [means, squares] = [new Float64Array(batch * groups), new Float64Array(batch * groups)];
  x.forEach((value, i) => {
    means[groupOf(i)] = (means[groupOf(i)] ?? 0) + value / count;
  });
  x.forEach((value, i) => {
    squares[groupOf(i)] = (squares[groupOf(i)] ?? 0) + (value - (means[groupOf(i)] ?? 0)) ** 2 / count;
  });
  return x.map((value, i) => {
    const standard = (value - (means[groupOf(i)] ?? 0)) / Math.sqrt((squares[groupOf(i)] ?? 0) + 1e-3);
    return standard * (weight[i % channels] ?? 0) + (bias[i % channels] ?? 0);
  });
}

const run = (given: Parameters<typeof operand>[0], { groups }: Case) =>
  groupNorm(operand(given, "x"), groups, {
    weight: operand(given, "weight"),
    bias: operand(given, "bias"),
    epsilon: 1e-3,
  });

it("agrees with float64", async () => {
  await checkOperation(device, {
    cases,
    operands,
    run: (given, drawn) => ({ y: run(given, drawn) }),
    reference: (given, drawn) => ({ y: reference(given, drawn) }),
    bound: () => toleranceOf(60), // two means of up to 56 values, a root, a division
    floor: 1,
    runs: 15,
  });
});

it("has the gradients of finite differences", async () => {
  await checkGradient(device, { cases, operands, run, reference, wrt: ["x", "weight", "bias"], runs: 10 });
});

it.skipIf(!device.features.has("shader-f16"))("computes on half precision", async () => {
  const x = device.tensor([1, 2, 3, 5], [1, 2, 2]);
  const expected = await groupNorm(x, 2).read();
  const y = await cast(groupNorm(cast(x, "f16"), 2), "f32").read();
  y.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i] ?? 9, 2);
  });
});

it("names groups that do not divide the channels", () => {
  expect(() => groupNorm(device.zeros([1, 2, 6]), 4)).toThrow(
    new OptionError("groupNorm: groups is 4, expected a positive integer that divides 6 channels"),
  );
});
