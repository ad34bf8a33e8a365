import { hostBits } from "../core/host_random.ts";
import type { Device } from "../core/recording.ts";
import { hexadecimal, sha256 } from "../core/sha256.ts";
import type { Tensor } from "../core/tensor.ts";
import { add, div, mul } from "../ops/binary.ts";
import { pow } from "../ops/pow.ts";
import { exp, log, rsqrt, sqrt, tanh } from "../ops/unary.ts";
import { goldenHashes } from "./golden_hashes.ts";
import { kernelChecks } from "./kernels.ts";

/** Bits of a result on this device beside those that every adapter has. */
export interface HashRow {
  /** Operation. */
  readonly case: string;
  /** Which of its results. */
  readonly tensor: string;
  readonly hash: string;
  /** Undefined for a result that the table does not have. */
  readonly expected: string | undefined;
  readonly pass: boolean;
}

const argumentCount = 4096;

/** f32 numbers of every sign and exponent, also infinite ones and NaN, the same on every machine. */
function everyKind(purpose: string): Float32Array {
  return new Float32Array(hostBits(argumentCount, { seed: 1, purpose: `hash ${purpose}` }).buffer);
}

/** Functions whose rounding, range and treatment of subnormal numbers drivers may choose. */
const functions: Readonly<Record<string, (x: Tensor, y: Tensor) => Tensor>> = {
  ...{ add, mul, div, exp, log, sqrt, rsqrt, tanh },
  pow: (x) => pow(x, 1.5),
};

/**
 * Runs the kernels of `checkKernels`, and own functions on numbers of every exponent, on a reproducible device, and compares the
 * bits of their results with those of the adapters that the table was made on.
 *
 * @param onRow - sees each comparison as it is made
 */
export async function checkHashes(device: Device, onRow?: (row: HashRow) => void): Promise<HashRow[]> {
  const rows: HashRow[] = [];
  const add = async (name: string, tensor: string, values: ArrayLike<number>): Promise<void> => {
    const hash = await hashOf(values);
    const expected = goldenHashes[`${name}, ${tensor}`];
    const row = { case: name, tensor, hash, expected, pass: hash === expected };
    rows.push(row);
    onRow?.(row);
  };
  for (const [name, apply] of Object.entries(functions)) {
    const [x, y] = ["x", "y"].map((one) => device.tensor(everyKind(one), [argumentCount]));
    if (x && y) await add(name, "every exponent", await apply(x, y).read());
    for (const one of [x, y]) one?.destroy();
  }
  for (const { name, run } of kernelChecks) {
    for (const [tensor, { actual }] of Object.entries(await run(device))) await add(name, tensor, actual);
  }
  return rows;
}

/** First 64 bits of the SHA-256 of f32 values, whose NaNs count as one: their payload is no result. */
async function hashOf(values: ArrayLike<number>): Promise<string> {
  const numbers = Float32Array.from(values, (value) => (Number.isNaN(value) ? Number.NaN : value));
  return hexadecimal((await sha256(new Uint8Array(numbers.buffer))).subarray(0, 8));
}
