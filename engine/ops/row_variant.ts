import type { Device } from "../run/device.ts";
import { stridingGroups } from "./elementwise.ts";

/** How kernels that work along rows divide them: a thread per row suits CPUs, a workgroup per row GPUs. */
export const rowVariants = ["invocation", "workgroup"] as const;
export type RowVariant = (typeof rowVariants)[number];

/** The smallest `maxComputeWorkgroupsPerDimension` that WebGPU allows; workgroups stride over the rows beyond. */
const mostGroups = 65535;

/** The variant for a matrix, by measurement where there is one; `operation` names it in the tuning table. */
export function rowVariant(device: Device, operation: string, rows: number, columns: number): RowVariant {
  const candidates = device.isSoftware ? rowVariants : [...rowVariants].reverse();
  const shapeClass = `rows ${2 ** Math.round(Math.log2(rows))} columns ${columns}`;
  return device.choose(operation, shapeClass, candidates) === "invocation" ? "invocation" : "workgroup";
}

/** Numbers that a thread takes at once: four where the rows divide, else one; workgroups take one each. */
export function rowWidth(variant: RowVariant, columns: number): 1 | 4 {
  return variant === "invocation" && columns % 4 === 0 ? 4 : 1;
}

export function rowGroups(variant: RowVariant, rows: number): [number] {
  return variant === "invocation" ? stridingGroups(rows) : [Math.min(rows, mostGroups)];
}
