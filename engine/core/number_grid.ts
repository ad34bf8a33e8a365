import type { HostArray } from "./dtype.ts";
import { OverLimitError } from "./errors.ts";
import type { KernelParams, ParamsSchema } from "./kernel.ts";

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

/**
 * Uniform values; whole numbers stay as they are.
 *
 * @throws OverLimitError where the first u32 is 2^31 or more: its upper bit is the zero that compilers do not know
 */
export function paramsOnGrid(kernel: string, schema: ParamsSchema, params: KernelParams): KernelParams {
  const first = Object.entries(schema.propTypes).find(([, { type }]) => type === "u32")?.[0];
  const count = first === undefined ? 0 : params[first];
  if (typeof count === "number" && count >= 2 ** 31)
    throw new OverLimitError(
      `${kernel}: ${first} is ${count}, and the reproducible mode takes less than 2^31; use a smaller batch or model`,
    );
  const entries = Object.entries(params).map(([name, value]): [string, number | readonly number[]] => [
    name,
    typeof value === "number" ? onGrid(value) : value.map(onGrid),
  ]);
  return Object.fromEntries(entries);
}
