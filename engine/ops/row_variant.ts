import type { DType } from "../core/dtype.ts";
import type { Program } from "../core/program.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Device } from "../run/device.ts";
import { bucket, defineVariants, type Variant } from "./choose_variant.ts";
import { stridingGroups } from "./elementwise.ts";

/** How kernels that work along rows divide them: a thread per row suits CPUs, a workgroup per row GPUs. */
export const rowVariants = ["invocation", "workgroup"] as const;
export type RowVariant = (typeof rowVariants)[number];

/** A matrix whose rows an operation works along. */
export interface RowProblem {
  readonly rows: number;
  readonly columns: number;
  readonly dtype: DType;
}

/** The smallest `maxComputeWorkgroupsPerDimension` that WebGPU allows; workgroups stride over the rows beyond. */
const mostGroups = 65535;

interface NamedRowVariant extends Variant<RowProblem> {
  readonly name: RowVariant;
}

/**
 * Declares an operation along rows with both variants.
 *
 * @param operation - name in the tuning table
 * @param example - records the operation on inputs of its own
 * @returns the variant that a device takes for a matrix
 */
export function defineRowVariants(
  operation: string,
  example: (program: Program, variant: RowVariant, problem: RowProblem) => readonly Tensor[],
): (device: Device, problem: RowProblem) => RowVariant {
  const choose = defineVariants<RowProblem, NamedRowVariant>({
    operation,
    variants: rowVariants.map((name) => ({ name })),
    order: (device) => (device.isSoftware ? rowVariants : [...rowVariants].reverse()),
    shapeClass: rowClass,
    example: (program, { name }, problem) => example(program, name, problem),
  });
  return (device, problem) => choose(device, problem).name;
}

/** The class of a matrix: the number of columns decides over loads of four and the share of a thread, so it is not rounded. */
export function rowClass({ rows, columns, dtype }: RowProblem): string {
  return `rows ${bucket(rows)} columns ${columns}${dtype === "f32" ? "" : ` ${dtype}`}`;
}

/** Numbers that a thread takes at once: four where the rows divide, else one; workgroups take one each. */
export function rowWidth(variant: RowVariant, columns: number): 1 | 4 {
  return variant === "invocation" && columns % 4 === 0 ? 4 : 1;
}

export function rowGroups(variant: RowVariant, rows: number): [number] {
  return variant === "invocation" ? stridingGroups(rows) : [Math.min(rows, mostGroups)];
}
