import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cast, conv1d, conv2d, linear, OptionError, permute, reshape, ShapeError, sum } from "../../../engine/index.ts";
import { checkGradient, checkOperation, roundOff, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";
import { type ConvSizes, convPlaces, convReference } from "../../reference/conv.ts";

const device = await testDevice({ canaries: true });
const pair = (...lengths: number[]) => fc.tuple(fc.constantFrom(...lengths), fc.constantFrom(...lengths));
/** Channels of one group; multiples of 4 on both sides take the wide kernels. */
const channels = fc.constantFrom<[number, number]>([1, 1], [3, 5], [4, 4], [8, 36], [20, 4], [7, 33], [4, 3], [12, 16]);
const drawn = fc
  .record({
    images: fc.constantFrom(1, 2),
    sources: pair(1, 2, 5, 7, 9),
    taps: pair(1, 2, 3),
    stride: pair(1, 1, 2, 3),
    dilation: pair(1, 1, 2),
    padding: pair(0, 1, 2),
    groups: fc.constantFrom(1, 1, 2, 3),
    channels,
    seed: fc.integer(),
  })
  .map(({ channels: [ins, outs], ...sizes }) => ({
    ...sizes,
    inputs: ins * sizes.groups,
    outputs: outs * sizes.groups,
  }))
  .filter((sizes) => convPlaces(sizes).every((length) => length >= 1));
type Drawn = ConvSizes & { readonly seed: number };

const operands = (sizes: Drawn) => {
  const { images, sources, taps, groups, inputs, outputs, seed } = sizes;
  const given = (shape: readonly number[], salt: number) => ({
    data: valuesOf(
      "normal",
      seed + salt,
      shape.reduce((size, length) => size * length, 1),
    ),
    shape,
  });
  return {
    x: given([images, ...sources, inputs], 1),
    weight: given([outputs, ...taps, inputs / groups], 2),
    bias: given([outputs], 3),
  };
};
const reference = (given: Readonly<Record<string, Float64Array>>, sizes: Drawn) =>
  convReference(given.x ?? [], given.weight ?? [], given.bias ?? [], sizes);
const depth = ({ taps, inputs, groups }: Drawn) => (taps[0] * taps[1] * inputs) / groups;

describe.each(["subgroup", "register"])("conv2d, variant %s", (variant) => {
  const runs = variant === "register" || (device.subgroupSize ?? 0) >= 8;
  const cases = variant === "register" ? drawn : drawn.filter(isWide);
  beforeAll(() => device.tuning.force("conv", variant));
  afterAll(() => device.tuning.force("conv", undefined));

  it.skipIf(!runs)("agrees with float64", async () => {
    await checkOperation(device, {
      cases,
      operands,
      run: (given, sizes) => ({
        y: conv2d(operand(given, "x"), operand(given, "weight"), { ...sizes, bias: operand(given, "bias") }),
      }),
      reference: (given, sizes) => ({ y: reference(given, sizes) }),
      // depth products and sums of normal numbers: a partial sum stays below 4 √depth, the largest result is at least about 1
      bound: (sizes) => 2 * depth(sizes) * 4 * Math.sqrt(depth(sizes)) * roundOff,
      floor: 1,
      runs: 25,
    });
  });

  it.skipIf(!runs)("has the gradients of finite differences", async () => {
    await checkGradient(device, {
      cases,
      operands,
      run: (given, sizes) =>
        conv2d(operand(given, "x"), operand(given, "weight"), { ...sizes, bias: operand(given, "bias") }),
      reference,
      wrt: ["x", "weight", "bias"],
      runs: 12,
    });
  });
});

function isWide({ inputs, outputs, groups }: ConvSizes): boolean {
  return (inputs / groups) % 4 === 0 && (outputs / groups) % 4 === 0;
}

const numbers = (seed: number, shape: readonly number[]) =>
  device.tensor(
    valuesOf(
      "normal",
      seed,
      shape.reduce((size, length) => size * length, 1),
    ),
    shape,
  );

it("conv1d is conv2d of one row", async () => {
  const [x, weight] = [numbers(1, [2, 9, 6]), numbers(2, [8, 3, 3])];
  const options = { stride: 2, padding: 1, dilation: 2, groups: 2 };
  const y = conv1d(x, weight, options);
  expect(y.shape).toEqual([2, 4, 8]);
  const sizes = { images: 2, sources: [1, 9], taps: [1, 3], stride: [1, 2], dilation: [1, 2] } as const;
  const expected = convReference(await x.read(), await weight.read(), [], {
    ...sizes,
    ...{ padding: [0, 1], groups: 2, inputs: 6, outputs: 8 },
  });
  const values = await y.read();
  expected.forEach((value, i) => {
    expect(values[i]).toBeCloseTo(value, 4);
  });
});

it("one tap is a linear layer", async () => {
  const [x, weight] = [numbers(3, [1, 5, 7, 12]), numbers(4, [8, 12])];
  const y = await conv2d(x, reshape(weight, [8, 1, 1, 12])).read();
  const expected = await linear(reshape(x, [35, 12]), weight).read();
  y.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i] ?? Number.NaN, 4);
  });
});

it("zeros around the source stay zeros beside NaN and infinity, which spoil their own places only", async () => {
  const x = device.tensor([Number.NaN, 1, 1, 1, 1, Number.POSITIVE_INFINITY], [1, 1, 6, 1]);
  const weight = device.tensor([1, 1, 1], [1, 1, 3, 1]);
  const y = [...(await conv2d(x, weight, { padding: [0, 1] }).read())];
  expect(y).toEqual([Number.NaN, Number.NaN, 3, 3, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
});

it.skipIf(!device.features.has("shader-f16"))("f16 rounds operands and results only", async () => {
  const [x, weight] = [numbers(5, [2, 6, 5, 16]), numbers(6, [24, 3, 3, 8])];
  const options = { padding: 1, groups: 2 };
  const rounded = cast(cast(weight, "f16"), "f32");
  const expected = await conv2d(cast(cast(x, "f16"), "f32"), rounded, options).read();
  const y = await cast(conv2d(cast(x, "f16"), weight, options), "f32").read();
  const largest = Math.max(...Array.from(expected, Math.abs));
  y.forEach((value, i) => {
    expect(Math.abs(value - (expected[i] ?? Number.NaN))).toBeLessThan(largest * 2 ** -11); // one rounding of the result
  });
  const dWeight = (weightOf: typeof weight, xOf: typeof x) => {
    const result = cast(conv2d(xOf, weightOf, options), "f32");
    const [gradient = weightOf] = result.program.gradients(sum(result), [weightOf]);
    return gradient.read();
  };
  const [master, plain] = [await dWeight(weight, cast(x, "f16")), await dWeight(weight, cast(cast(x, "f16"), "f32"))];
  master.forEach((value, i) => {
    expect(value).toBeCloseTo(plain[i] ?? Number.NaN, 3);
  });
});

it("a weight in PyTorch's order is permuted", async () => {
  const x = device.tensor([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 2, 2]); // channels 1 3 5 7 and 2 4 6 8
  const weight = device.tensor([1, 10, 100, 1000, 1, 1, 1, 1], [1, 2, 2, 2]); // [out, in, rows, columns]
  expect([...(await conv2d(x, permute(weight, [0, 2, 3, 1])).read())]).toEqual([7531 + 20]);
});

it("names what does not fit", () => {
  const [x, weight] = [device.zeros([1, 4, 4, 6]), device.zeros([8, 3, 3, 6])];
  expect(() => conv2d(x, device.zeros([8, 3, 3, 4]))).toThrow(
    new ShapeError(
      "conv2d: weight [8, 3, 3, 4] takes 4 channels per group and x [1, 4, 4, 6] has 6; expected weight [out, …taps, 6]",
    ),
  );
  expect(() => conv2d(x, weight, { groups: 4 })).toThrow(
    new OptionError(
      "conv2d: groups is 4, expected a positive integer that divides the 6 channels of x and the 8 of weight",
    ),
  );
  expect(() => conv2d(x, weight, { dilation: 2 })).toThrow(
    "conv2d: a kernel of 3 taps reaches over 5 places, and the source has 4 with padding 0; pad more or use a smaller kernel",
  );
  expect(() => conv2d(x, weight, { stride: 0 })).toThrow(
    "conv2d: stride is 0, expected one or two integers of at least 1",
  );
  expect(() => conv2d(x, weight, { bias: device.zeros([4]) })).toThrow("conv2d: bias has shape [4], expected [8]");
});
