import { describe, expect, it } from "vitest";
import {
  add,
  cast,
  div,
  equal,
  full,
  greater,
  max,
  maximum,
  mean,
  min,
  minimum,
  mul,
  NoGradientError,
  pad,
  prod,
  sub,
  sum,
  type Tensor,
  where,
} from "../../../engine/index.ts";
import { valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });
const signed = (...values: number[]) => device.tensor(Int32Array.from(values), [values.length], "i32");
const words = (...values: number[]) => device.tensor(Uint32Array.from(values), [values.length], "u32");
const read = async (x: Tensor) => [...(await x.read())];

describe("integers", () => {
  it("add, subtract and multiply modulo 2³²", async () => {
    expect(await read(add(signed(2147483647, -5), signed(1, 2)))).toEqual([-2147483648, -3]);
    expect(await read(sub(words(0, 7), words(1, 2)))).toEqual([4294967295, 5]);
    expect(await read(mul(words(4000000000, 3), 5))).toEqual([Math.imul(4000000000, 5) >>> 0, 15]);
    expect(await read(maximum(signed(-4, 9), 0))).toEqual([0, 9]);
    expect(await read(minimum(3, signed(-4, 9)))).toEqual([-4, 3]);
  });

  it("broadcast", async () => {
    const x = device.tensor(Int32Array.of(1, 2, 3, 4, 5, 6), [2, 3], "i32");
    expect(await read(sub(x, signed(1, 2, 3)))).toEqual([0, 0, 0, 3, 3, 3]);
  });

  it("sum, multiply and compare exactly beyond 2²⁴", async () => {
    const values = [16777217, 1, 16777216, 2];
    expect(await read(sum(words(...values)))).toEqual([33554436]);
    expect(await read(max(signed(-16777217, -16777216)))).toEqual([-16777216]);
    expect(await read(min(words(16777217, 16777216)))).toEqual([16777216]);
    expect(await read(prod(signed(-3, 5592405)))).toEqual([-16777215]);
    const many = new Uint32Array(5000).fill(3);
    expect(await read(sum(device.tensor(many, [5000], "u32")))).toEqual([15000]);
    expect(await read(sum(device.tensor(many, [2, 2500], "u32"), { axes: [0] }))).toEqual(new Array(2500).fill(6));
  });

  it("the mean of a comparison is the share of what holds", async () => {
    expect(await read(mean(greater(device.tensor([1, 5, 2, 7]), 1.5)))).toEqual([0.75]);
    expect(mean(equal(device.zeros([2, 3]), 0), { axes: [1] }).dtype).toBe("f32");
  });

  it("name what has no integer form, and mixed types", () => {
    expect(() => div(words(1), 2)).toThrow("div: a is u32, expected f32 or f16; use cast");
    expect(() => add(words(1), signed(1))).toThrow("add: b is i32, expected u32; use cast");
    expect(() => add(words(1), 0.5)).toThrow("0.5 cannot be written as u32");
  });

  it("refuse numbers that they do not hold where these would turn into others", async () => {
    const refused =
      "-1 cannot be written as u32; give a whole number in 0 … 4294967295, or cast to a type that holds it";
    const beside = words(4294967295);
    for (const run of [equal, greater, maximum, minimum]) expect(() => run(beside, -1)).toThrow(refused);
    expect(() => where(words(1), beside, -1)).toThrow(refused);
    expect(() => pad(beside, [[1, 1]], -1)).toThrow(refused);
    expect(() => greater(signed(1), 2 ** 31)).toThrow("2147483648 cannot be written as i32");
    expect(() => full(device.program(), [1], 2 ** 32, "u32")).toThrow("4294967296 cannot be written as u32");
    expect(await read(add(words(0, 7), -1))).toEqual([4294967295, 6]);
    expect(await read(sub(signed(-2147483648), 2 ** 31))).toEqual([0]);
  });

  it("refuse to be differentiated", () => {
    const x = device.tensor([1, 2]);
    const y = cast(sum(cast(x, "i32")), "f32");
    expect(() => y.program.gradients(y, [x])).toThrow(NoGradientError);
  });
});

describe("half precision", () => {
  const isMissing = !device.features.has("shader-f16");

  it.skipIf(isMissing)("is reduced in f32 and rounded once", async () => {
    const data = valuesOf("normal", 1, 3000).map((value) => value / 8);
    const x = cast(device.tensor(data, [3, 1000]), "f16");
    const exact = cast(x, "f32");
    const rounded = (y: Tensor) => read(cast(cast(y, "f16"), "f32"));
    for (const reduce of [sum, mean, max, min]) {
      for (const axes of [[0], [1], [0, 1]]) {
        expect(await read(cast(reduce(x, { axes }), "f32"))).toEqual(await rounded(reduce(exact, { axes })));
      }
    }
  });

  it.skipIf(isMissing)("hands gradients on", async () => {
    const x = device.tensor([1, 2, 3, 3], [2, 2]);
    const y = sum(mul(cast(max(cast(x, "f16"), { axes: [1] }), "f32"), device.tensor([4, 6])));
    const [dx = x] = y.program.gradients(y, [x]);
    expect(await read(dx)).toEqual([0, 4, 3, 3]);
  });
});
