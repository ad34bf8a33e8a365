import type { DType } from "../core/dtype.ts";
import type { Program } from "../core/program.ts";
import type { Device } from "../core/recording.ts";
import type { Tensor } from "../core/tensor.ts";
import { bucket, defineVariants, type Variant } from "./choose_variant.ts";
import { manyStridingGroups } from "./elementwise.ts";
import { stridingGrid } from "./grid.ts";

/** How kernels that work along rows divide them: a thread per row suits CPUs, a workgroup per row GPUs. */
export const rowVariants = ["invocation", "workgroup"] as const;
export type RowVariant = (typeof rowVariants)[number];

/** A matrix whose rows an operation works along. */
export interface RowProblem {
  readonly rows: number;
  readonly columns: number;
  readonly dtype: DType;
}

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
    deviates: ({ name }) => (name === "workgroup" ? "it adds the shares of several threads as a tree" : undefined),
    shapeClass: rowClass,
    example: (program, { name }, problem) => example(program, name, problem),
  });
  return (device, problem) => choose(device, problem).name;
}

/** How the gradient of a norm divides the rows. */
export interface BlockVariant extends Variant<RowProblem> {
  /** Rows that a workgroup takes at a time: a thread sums each on CPUs, sixteen threads on GPUs. */
  readonly blockRows: number;
}

/** As {@link defineRowVariants}, for gradients of norms: sums along the rows and down the columns in one pass. */
export function defineBlockVariants(
  operation: string,
  example: (program: Program, variant: BlockVariant, problem: RowProblem) => readonly Tensor[],
): (device: Device, problem: RowProblem) => BlockVariant {
  return defineVariants<RowProblem, BlockVariant>({
    operation,
    variants: [
      { name: "rows64", blockRows: 64 },
      { name: "rows16", blockRows: 16 },
      { name: "rows4", blockRows: 4 },
    ],
    order: (device) => (device.isSoftware ? ["rows64", "rows16", "rows4"] : ["rows4", "rows16", "rows64"]),
    deviates: ({ blockRows }) => (blockRows === 64 ? undefined : `it adds rows by ${blockRows} instead of 64`),
    shapeClass: rowClass,
    example,
  });
}

/** Most workgroups with partial sums of their own, so that the second kernel adds up few; each takes several blocks. */
const mostBlockGroups = 256;

export function blockGroups({ blockRows }: BlockVariant, rows: number, device: Device): number {
  return stridingGrid(device, Math.ceil(rows / blockRows), mostBlockGroups)[0];
}

/** The class of a matrix: the number of columns decides over loads of four and the share of a thread, so it is not rounded. */
export function rowClass({ rows, columns, dtype }: RowProblem): string {
  return `rows ${bucket(rows)} columns ${columns}${dtype === "f32" ? "" : ` ${dtype}`}`;
}

/** Numbers that a thread takes at once: four where the rows divide, else one; workgroups take one each. */
export function rowWidth(variant: RowVariant, columns: number): 1 | 4 {
  return variant === "invocation" && columns % 4 === 0 ? 4 : 1;
}

export function rowGroups(variant: RowVariant, rows: number, device: Device): [number] {
  return variant === "invocation" ? manyStridingGroups(rows, device) : stridingGrid(device, rows);
}
