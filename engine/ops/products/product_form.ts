/**
 * How a product kernel reads A, from which the way it reads B follows.
 *
 * - `any`: both operands one by one, all four transposes by their strides
 * - `depth`: A is `[rows, depth]`, four steps of the depth at once; depth and columns are multiples of 4, as in the two below
 * - `rows`: A is `[depth, rows]`, four rows at once; the rows are a multiple of 4, too
 * - `single`: A is `[depth, rows]`, one by one
 */
export type LeftLoads = "any" | "depth" | "rows" | "single";

/** One subgroup computes `rows` × 4 · lanes values in registers; broadcasts spread A. */
export interface SubgroupForm {
  readonly kind: "subgroup";
  readonly rows: 16 | 32;
  /** The subgroup size is asked for, so that the kernel runs where the adapter would choose it. */
  readonly pinned: boolean;
}

/** Each invocation computes 8 × 4 values by itself. */
export interface RegisterForm {
  readonly kind: "register";
}

/** Invocations share tiles of A and B in workgroup memory. */
export interface SharedForm {
  readonly kind: "shared";
  /** Invocations of a workgroup over the columns and over the rows. */
  readonly across: number;
  readonly down: number;
  /** Vectors of four columns, and of four rows, that one invocation computes. */
  readonly columnVectors: 1 | 2;
  readonly rowVectors: 1 | 2;
  /** Steps of the depth that lie in workgroup memory; a multiple of 4. */
  readonly depth: number;
  /** The next tile is on its way to registers while the present one is multiplied. */
  readonly prefetch: boolean;
}

/** What the text of a product kernel is generated from, beside {@link LeftLoads}. */
export type ProductForm = SubgroupForm | RegisterForm | SharedForm;

/** Rows and columns that a workgroup of a shared form computes. */
export function sharedTile({ across, down, columnVectors, rowVectors }: SharedForm): [number, number] {
  return [4 * down * rowVectors, 4 * across * columnVectors];
}
