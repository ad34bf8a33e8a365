import type { HostArray } from "./dtype.ts";
import type { KernelParams } from "./kernel.ts";

/** Products, quotients and functions below it are 0 in the reproducible mode; see engine/wgsl/canonical.wgsl. */
const least = 2 ** -102;
/** What all numbers of that mode are multiples of, so that none is subnormal, which some adapters count as 0. */
const spacing = 2 ** -125;

/** A number from the host as the reproducible mode has it: below 2^-102 the nearest multiple of 2^-125, else unchanged. */
export function onGrid(value: number): number {
  return Math.abs(value) < least ? Math.round(value / spacing) * spacing : value;
}

/** The values themselves where all are so; else a copy. */
export function allOnGrid(values: HostArray): HostArray {
  if (!(values instanceof Float32Array) || values.every((value) => Number.isNaN(value) || onGrid(value) === value))
    return values;
  return values.map(onGrid);
}

/** Uniform values; whole numbers stay as they are. */
export function paramsOnGrid(params: KernelParams): KernelParams {
  const entries = Object.entries(params).map(([name, value]): [string, number | readonly number[]] => [
    name,
    typeof value === "number" ? onGrid(value) : value.map(onGrid),
  ]);
  return Object.fromEntries(entries);
}
