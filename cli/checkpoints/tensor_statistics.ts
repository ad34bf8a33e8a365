import type { HostTensor } from "../../engine/files/index.ts";
import { bf16ToF32, f16ToF32 } from "../../engine/files/index.ts";

/** Statistics over the finite values of a tensor; absent for one without any. */
export interface TensorStatistics {
  readonly min?: number;
  readonly max?: number;
  readonly mean?: number;
  /** Standard deviation, biased. */
  readonly deviation?: number;
  /** Number of NaN and infinities. */
  readonly nonFinite: number;
}

/** Values converted at a time, so that a large tensor is not held twice. */
const pieceLength = 2 ** 20;

export function tensorStatistics({ data, dtype }: HostTensor): TensorStatistics {
  let count = 0;
  let sum = 0;
  let squares = 0;
  let shift: number | undefined; // keeps the sums small where a mean is far larger than the deviation
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let from = 0; from < data.length; from += pieceLength) {
    const piece = data.subarray(from, from + pieceLength);
    const isHalf = piece instanceof Uint16Array && dtype !== "u16";
    const values = isHalf ? (dtype === "f16" ? f16ToF32(piece) : bf16ToF32(piece)) : piece;
    for (const stored of values) {
      const value = Number(stored);
      if (!Number.isFinite(value)) continue;
      shift ??= value;
      count++;
      sum += value - shift;
      squares += (value - shift) ** 2;
      if (value < min) min = value;
      if (value > max) max = value;
    }
  }
  const nonFinite = data.length - count;
  if (count === 0) return { nonFinite };
  const offset = sum / count;
  const deviation = Math.sqrt(Math.max(0, squares / count - offset * offset));
  return { min, max, mean: (shift ?? 0) + offset, deviation, nonFinite };
}
