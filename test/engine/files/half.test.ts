import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bf16ToF32,
  bf16ToNumber,
  f16ToF32,
  f16ToNumber,
  f32ToBf16,
  f32ToF16,
  numberToBf16,
  numberToF16,
} from "../../../engine/core/half_precision.ts";

const allBits = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits);

/** Nearest value with `fraction` stored bits and the given exponents, ties to even, in float64. */
function nearest(value: number, fraction: number, smallest: number, largest: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  const exponent = Math.max(smallest, Math.floor(Math.log2(Math.abs(value))));
  const unit = 2 ** (exponent - fraction);
  const scaled = value / unit; // exact: a power of two, and float32 subnormals are within float64's range
  const below = Math.floor(scaled);
  const rest = scaled - below;
  const rounded = rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
  const result = rounded * unit;
  if (Math.abs(result) > largest) return Math.sign(value) * Number.POSITIVE_INFINITY;
  return result === 0 ? Math.sign(value) * 0 : result;
}

// Half of all 32-bit patterns are within reach of neither type, so ties and edges are drawn on purpose.
const floats = fc.oneof(
  fc.float({ noNaN: true }),
  fc.tuple(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(-1, 0, 1)).map(([bits, step]) => {
    const low = f16ToNumber(bits);
    const middle = (low + f16ToNumber(Math.min(bits + 1, 0x7bff))) / 2;
    return Number.isFinite(middle) ? Math.fround(middle * (1 + step * 2 ** -23)) : 0;
  }),
  fc.integer({ min: 0, max: 0xfffe }).map((bits) => {
    const middle = (bf16ToNumber(bits) + bf16ToNumber(bits + 1)) / 2;
    return Number.isFinite(middle) ? Math.fround(middle) : 0;
  }),
);

describe("binary16", () => {
  test("every bit pattern stands for the number of IEEE 754, table 3.5", () => {
    const numberOf = (bits: number): number => {
      const [sign, exponent, mantissa] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
      if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
      return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25));
    };
    const values = f16ToF32(allBits);
    for (const bits of allBits) {
      const expected = numberOf(bits);
      if (!Object.is(values[bits], expected) || !Object.is(f16ToNumber(bits), expected))
        expect([bits, values[bits], f16ToNumber(bits)]).toEqual([bits, expected, expected]);
    }
  });
  test("every bit pattern survives the way to float and back, NaN as NaN", () => {
    const back = f32ToF16(f16ToF32(allBits));
    const isNaNToo = (bits: number): boolean =>
      Number.isNaN(f16ToNumber(bits)) && Number.isNaN(f16ToNumber(back[bits] ?? 0));
    expect(allBits.filter((bits) => back[bits] !== bits && !isNaNToo(bits))).toEqual(new Uint16Array(0));
  });
  test("every float goes to the nearest value, ties to even", () => {
    fc.assert(
      fc.property(floats, (value) => {
        expect(f16ToNumber(numberToF16(value))).toBe(nearest(value, 10, -14, 65504));
      }),
      { numRuns: 5000 },
    );
  });
  test("the edges round as the standard says", () => {
    const cases: readonly (readonly [number, number])[] = [
      [65504, 65504],
      [65519.99609375, 65504],
      [65520, Number.POSITIVE_INFINITY],
      [-(2 ** -25), -0],
      [2 ** -25 * 1.0000001192092896, 2 ** -24],
      [2 ** -24 * 1.5, 2 ** -23],
      [2 ** -14 - 2 ** -26, 2 ** -14],
    ];
    for (const [value, want] of cases) expect(f16ToNumber(numberToF16(value))).toBe(want);
  });
});

describe("bfloat16", () => {
  test("every bit pattern survives the way to float and back, NaN as NaN", () => {
    const back = f32ToBf16(bf16ToF32(allBits));
    const isNaNToo = (bits: number): boolean =>
      Number.isNaN(bf16ToNumber(bits)) && Number.isNaN(bf16ToNumber(back[bits] ?? 0));
    expect(allBits.filter((bits) => back[bits] !== bits && !isNaNToo(bits))).toEqual(new Uint16Array(0));
  });
  test("every float goes to the nearest value, ties to even", () => {
    fc.assert(
      fc.property(floats, (value) => {
        expect(bf16ToNumber(numberToBf16(value))).toBe(nearest(value, 7, -126, 2 ** 128 - 2 ** 120));
      }),
      { numRuns: 5000 },
    );
  });
});
