import { describe, expect, it } from "vitest";
import { tensorStatistics } from "../../cli/checkpoints/tensor_statistics.ts";
import { f32ToBf16, hostTensor } from "../../engine/files/index.ts";

describe("tensorStatistics", () => {
  it("leaves NaN and infinities out, and counts them", () => {
    const data = Float32Array.of(Number.NaN, 1, Number.NEGATIVE_INFINITY, 3);
    const expected = { min: 1, max: 3, mean: 2, deviation: 1, nonFinite: 2 };
    expect(tensorStatistics(hostTensor("f32", [4], data))).toEqual(expected);
  });

  it("keeps a deviation that is far smaller than the mean", () => {
    const data = Float64Array.from({ length: 1000 }, (_, i) => 1e9 + (i % 2 === 0 ? 1e-3 : -1e-3));
    const { mean, deviation = 0 } = tensorStatistics(hostTensor("f64", [1000], data));
    expect(mean).toBeCloseTo(1e9, 6);
    expect(Math.abs(deviation / 1e-3 - 1)).toBeLessThan(1e-3); // 1e9 ± 1e-3 is stored to 1.2e-7
  });

  it("reads bit patterns and 64-bit integers as numbers", () => {
    const bf16 = f32ToBf16(Float32Array.of(-2, 4));
    expect(tensorStatistics(hostTensor("bf16", [2], bf16))).toMatchObject({ min: -2, max: 4, mean: 1, deviation: 3 });
    const i64 = BigInt64Array.of(-5n, 5n);
    expect(tensorStatistics(hostTensor("i64", [2], i64))).toMatchObject({ min: -5, max: 5, mean: 0, deviation: 5 });
  });

  it("says nothing of a tensor without finite values", () => {
    expect(tensorStatistics(hostTensor("f32", [0], new Float32Array(0)))).toEqual({ nonFinite: 0 });
  });
});
