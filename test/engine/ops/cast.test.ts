import fc from "fast-check";
import { expect, it } from "vitest";
import { f16ToF32, f32ToF16 } from "../../../engine/core/half_precision.ts";
import { type DType, NoGradientError, recordProgram } from "../../../engine/index.ts";
import { cast } from "../../../engine/ops/cast.ts";
import { oddLength, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });
const hasHalf = device.features.has("shader-f16");

/** Whole numbers that every type but u8 holds (f16 up to 2048); u8 takes their low byte. */
const whole = (size: number, seed: number) => Array.from({ length: size }, (_, i) => (i * 37 + (seed >>> 0)) % 2048);

it("whole numbers pass unchanged between all types that hold them", async () => {
  const types: DType[] = ["f32", "u32", "i32", "u8", ...(hasHalf ? (["f16"] as const) : [])];
  await fc.assert(
    fc.asyncProperty(
      oddLength(257),
      fc.integer(),
      fc.constantFrom(...types),
      fc.constantFrom(...types),
      async (size, seed, source, destination) => {
        const narrow = source === "u8" || destination === "u8";
        const values = whole(size, seed).map((value) => (narrow ? value % 256 : value));
        const x = cast(device.tensor(values), source);
        const y = await cast(cast(x, destination), "f32").read();
        expect([...y]).toEqual(values);
      },
    ),
    { numRuns: 40 },
  );
});

it("floats become integers by truncation and stay inside the range of the type", async () => {
  const x = device.tensor([-1e10, -1.75, -0.5, 0.5, 1.99, 300.7, 4e9, 1e10]);
  expect([...(await cast(x, "i32").read())]).toEqual([-(2 ** 31), -1, 0, 0, 1, 300, 2 ** 31 - 1, 2 ** 31 - 1]);
  expect([...(await cast(x, "u8").read())]).toEqual([0, 0, 0, 0, 1, 255, 255, 255]);
  expect([...(await cast(x, "u32").read())].slice(0, 7)).toEqual([0, 0, 0, 0, 1, 300, 4e9]);
});
/** The largest f32 below 2^31, where saturation may stop. */

it.skipIf(!hasHalf)("f32 becomes the nearest f16, and back again exactly", async () => {
  const values = valuesOf("normal", 5, 1023);
  const halves = await cast(device.tensor(values), "f16").read();
  const expected = f32ToF16(values);
  // WGSL leaves the rounding direction open, so a neighbour of the nearest value is allowed as well
  for (const [i, half] of [...halves].entries()) expect(Math.abs(half - (expected[i] ?? 0))).toBeLessThanOrEqual(1);
  const back = await cast(device.tensor(expected, [1023], "f16"), "f32").read();
  expect(back).toEqual(f16ToF32(expected));
});

it.skipIf(!hasHalf)("the gradient of a cast is the cast back, and integers have none", async () => {
  const step = recordProgram(device, (p) => {
    const x = p.input("x", [6]);
    const y = cast(cast(x, "f16"), "f32");
    const [dx] = p.gradients(y, [x], p.input("dy", [6]));
    if (!dx) throw new Error("no gradient");
    const dz = p.input("dz", [6]);
    expect(() => p.gradients(cast(cast(x, "i32"), "f32"), [x], dz)).toThrow(NoGradientError);
    expect(() => p.gradients(cast(x, "i32"), [x], cast(dz, "i32"))).toThrow(NoGradientError);
    return { dx };
  });
  const ones = [1, -2, 0.5, 4, 0, 1024];
  const values = await (await step.run({ x: ones, dy: ones, dz: ones }, ["dx"])).read();
  expect([...values.dx]).toEqual(ones);
});
