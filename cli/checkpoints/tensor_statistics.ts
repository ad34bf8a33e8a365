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
  const sums = new RunningSums();
  for (let from = 0; from < data.length; from += pieceLength)
    for (const stored of numbersOf(data.subarray(from, from + pieceLength), dtype)) sums.add(Number(stored));
  return sums.statistics(data.length);
}

/** 16-bit floats are stored as their bits. */
function numbersOf(piece: HostTensor["data"], dtype: HostTensor["dtype"]): HostTensor["data"] {
  if (!(piece instanceof Uint16Array) || dtype === "u16") return piece;
  return dtype === "f16" ? f16ToF32(piece) : bf16ToF32(piece);
}

class RunningSums {
  #count = 0;
  #sum = 0;
  #squares = 0;
  #shift: number | undefined; // keeps the sums small where a mean is far larger than the deviation
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;

  add(value: number): void {
    if (!Number.isFinite(value)) return;
    this.#shift ??= value;
    this.#count++;
    this.#sum += value - this.#shift;
    this.#squares += (value - this.#shift) ** 2;
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
  }

  /** @param length - values of the tensor, those that are not finite included */
  statistics(length: number): TensorStatistics {
    const count = this.#count;
    const nonFinite = length - count;
    if (count === 0) return { nonFinite };
    const offset = this.#sum / count;
    const deviation = Math.sqrt(Math.max(0, this.#squares / count - offset * offset));
    return { min: this.#min, max: this.#max, mean: (this.#shift ?? 0) + offset, deviation, nonFinite };
  }
}
