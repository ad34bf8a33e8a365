import type { DType } from "../core/dtype.ts";
import type { Program } from "../core/program.ts";
import type { Tensor } from "../core/tensor.ts";
import { defineVariants } from "./choose_variant.ts";
import { manyStridingGroups } from "./elementwise.ts";
import { foldGrid } from "./grid.ts";
import { productClass, productOrder, splitsOf } from "./matmul_choice.ts";
import { type MatmulVariant, matmulVariants, minSplitDepth, type ProductShape } from "./matmul_kernels.ts";
import { sumKernel } from "./products/product_kernels.ts";

/** What happens to a sum before it is stored, in this order. */
export interface Epilogue {
  /** `[columns]`, added to every row. */
  readonly bias?: Tensor | undefined;
  readonly gelu?: boolean;
  /**
   * Receives the slope of GELU at the value after the bias, less 1/2, `[rows, columns]`: around 0, where most values lie, f16 holds
   * the difference to 1/2 four times as exactly as the slope.
   */
  readonly slope?: Tensor | undefined;
  /** `[rows, columns]`: what `slope` received; multiplies by the slope. Not together with `gelu` or `residual`. */
  readonly timesSlope?: Tensor | undefined;
  /** `[rows, columns]`, added last. */
  readonly residual?: Tensor | undefined;
  /** Receives the sum of each row of A, `[rows]`. */
  readonly rowSums?: Tensor | undefined;
}

/** A product `y = epilogue(A B)`; A is `[rows, depth]`, B `[depth, columns]` after the named transposes. */
export interface Product extends ProductLayout {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly epilogue?: Epilogue;
}

interface ProductLayout extends ProductShape {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** Operands without batches are used for all of them. */
  readonly aBatched: boolean;
  readonly bBatched: boolean;
}

interface ProductProblem extends ProductLayout {
  readonly dtype: DType;
}

const chooseProduct = defineVariants<ProductProblem, MatmulVariant>({
  operation: "matmul",
  variants: matmulVariants,
  order: productOrder,
  // One sum over the depth from the first term on.
  deviates: ({ name, split }) => {
    if (split) return "it adds parts of the depth";
    return name.startsWith("matrix") ? "the adapter's matrices add in an order of their own" : undefined;
  },
  shapeClass: (problem) => productClass(problem, problem.dtype),
  example: (program, variant, problem) => {
    const { rows, columns, depth, batches, aBatched, bBatched, dtype } = problem;
    const a = program.input("a", [aBatched ? batches : 1, rows, depth], dtype);
    const b = program.input("b", [bBatched ? batches : 1, depth, columns], dtype);
    const y = program.empty([batches, rows, columns], dtype);
    launch(program, variant, { ...problem, a, b }, y);
    return [y];
  },
});

/** Records a product into `y`, `[batches, rows, columns]`, with the variant that the device chooses. */
export function recordProduct(program: Program, product: Product, y: Tensor): void {
  const { rows, columns, depth, batches, transposeA, transposeB, aBatched, bBatched, a } = product;
  const problem = { rows, columns, depth, batches, transposeA, transposeB, aBatched, bBatched, dtype: a.dtype };
  launch(program, chooseProduct(program.device, problem), product, y);
}

function launch(program: Program, variant: MatmulVariant, product: Product, y: Tensor): void {
  const { batches, rows, columns, depth, epilogue = {} } = product;
  const wanted = splitsOf(program.device, variant, { ...product, dtype: product.a.dtype });
  const splitDepth = Math.ceil(depth / wanted / minSplitDepth) * minSplitDepth;
  const splits = Math.ceil(depth / splitDepth);
  if (splits === 1) {
    launchTiles(program, variant, product, { splits, splitDepth }, y, epilogue);
    return;
  }
  const parts = program.empty([batches * splits, rows, columns]);
  const rowSums = epilogue.rowSums && program.empty([batches * splits, rows]);
  launchTiles(program, variant, product, { splits, splitDepth }, parts, { rowSums });
  sumParts(program, { rows, columns, batches, splits }, parts, y, epilogue);
  if (rowSums && epilogue.rowSums) {
    sumParts(program, { rows: 1, columns: rows, batches, splits }, rowSums, epilogue.rowSums, {});
  }
}

function launchTiles(
  program: Program,
  variant: MatmulVariant,
  product: Product,
  cut: { readonly splits: number; readonly splitDepth: number },
  y: Tensor,
  epilogue: Epilogue,
): void {
  const { a, b, transposeB, rows, columns, depth, batches } = product;
  const parts = batches * cut.splits;
  const params = { rows, columns, depth, parts, ...cut, ...stridesOf(product) };
  const [tileRows, tileColumns] = variant.tile(program.device, a.dtype);
  const groups = foldGrid(program.device, Math.ceil(columns / tileColumns), Math.ceil(rows / tileRows), parts);
  const { operands, constants, declarations } = describeEpilogue(program, a, y, epilogue);
  const { kernel, isWide, types } = variant.form(product, program.device, a.dtype);
  program.dispatch(kernel, params, { a, b, y, ...operands }, groups, {
    constants: {
      ...constants,
      keepRowSums: epilogue.rowSums ? 1 : 0,
      ...(isWide ? { transposeB: Number(transposeB) } : {}),
      ...variant.constants(program.device),
    },
    declarations: {
      ...declarations,
      ...types(a.dtype),
      ...(isWide ? { Bias: fourOf(declarations.Bias), Result: fourOf(declarations.Result) } : {}),
    },
    flops: 2 * rows * columns * depth * batches,
  });
}

/** Elements between neighbours along each axis of the operands; 0 between batches that share one. */
function stridesOf({ transposeA, transposeB, aBatched, bBatched, rows, columns, depth }: ProductLayout) {
  return {
    aRow: transposeA ? 1 : depth,
    aDepth: transposeA ? rows : 1,
    aBatch: aBatched ? rows * depth : 0,
    bDepth: transposeB ? 1 : columns,
    bColumn: transposeB ? depth : 1,
    bBatch: bBatched ? depth * columns : 0,
  };
}

/**
 * `y = epilogue(sum of parts)`, the parts added in their order.
 *
 * @param parts - `[batches, splits, rows, columns]` f32
 */
export function sumParts(
  program: Program,
  sizes: { readonly rows: number; readonly columns: number; readonly batches: number; readonly splits: number },
  parts: Tensor,
  y: Tensor,
  epilogue: Epilogue,
): void {
  const { operands, constants, declarations } = describeEpilogue(program, parts, y, epilogue);
  const groups = manyStridingGroups(sizes.rows * sizes.columns * sizes.batches, program.device);
  program.dispatch(sumKernel(), sizes, { parts, y, ...operands }, groups, {
    constants,
    declarations: { ...declarations, Part: parts.dtype },
    flops: sizes.rows * sizes.columns * sizes.batches * sizes.splits,
  });
}

/** The WGSL type of four numbers in memory. */
function fourOf(dtype: DType): string {
  return `vec4<${dtype}>`;
}

/** @param unused - a tensor that the launch reads anyway; bound where the epilogue reads nothing */
function describeEpilogue(
  program: Program,
  unused: Tensor,
  y: Tensor,
  epilogue: Epilogue,
): {
  operands: Record<string, Tensor>;
  constants: Record<string, number>;
  declarations: Record<"Bias" | "Result" | "Extra", DType>;
} {
  const { bias, gelu, slope, timesSlope, residual, rowSums } = epilogue;
  const extra = slope ?? rowSums;
  const typeOf = (x: Tensor | undefined): DType => x?.dtype ?? "f32";
  return {
    operands: {
      bias: bias ?? unused,
      other: timesSlope ?? residual ?? unused,
      extra: extra ?? program.empty([1]), // written by nothing; a binding must have memory
    },
    constants: {
      hasBias: bias ? 1 : 0,
      activation: gelu ? 1 : timesSlope ? 2 : 0,
      addOther: residual ? 1 : 0,
      keepSlope: slope ? 1 : 0,
    },
    declarations: { Bias: typeOf(bias), Result: typeOf(y), Extra: typeOf(extra) },
  };
}
