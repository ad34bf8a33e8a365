import type { Device } from "../core/recording.ts";
import { type KernelCheck, kernelChecks } from "./kernels.ts";

export { checkHashes, type HashRow } from "./hashes.ts";
export { type KernelCheck, kernelChecks };

/** Comparison of a kernel's result on this device with a float64 computation. */
export interface KernelRow {
  /** Operation. */
  readonly case: string;
  /** Which of its results. */
  readonly tensor: string;
  /** max |a − b| / max(|b|max, 1e-6). */
  readonly maxError: number;
  readonly bound: number;
  readonly pass: boolean;
}

/**
 * Runs each golden kernel, with the variants that the device chose, on small odd-sized data that is the same everywhere.
 *
 * @param onRow - sees each comparison as it is made
 */
export async function checkKernels(device: Device, onRow?: (row: KernelRow) => void): Promise<KernelRow[]> {
  const rows: KernelRow[] = [];
  for (const check of kernelChecks) {
    for (const row of await checkKernel(device, check)) {
      rows.push(row);
      onRow?.(row);
    }
  }
  return rows;
}

/** One of the checks: a row for each of its results. */
export async function checkKernel(device: Device, { name, bound, run }: KernelCheck): Promise<KernelRow[]> {
  const results = Object.entries(await run(device));
  return results.map(([tensor, { actual, expected }]) => {
    const maxError = relativeError(actual, expected);
    return { case: name, tensor, maxError, bound, pass: maxError <= bound };
  });
}

/** Lengths that differ and NaN, which no comparison with finite numbers may hide, are an infinite error. */
function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  let largest = 1e-6;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? Number.NaN));
    worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
    largest = Math.max(largest, Math.abs(expected[i] ?? 0));
  }
  return worst / largest;
}
