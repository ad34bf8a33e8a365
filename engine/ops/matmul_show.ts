import type { MatrixShape } from "../core/device_parts.ts";
import type { DType } from "../core/dtype.ts";
import { OptionError } from "../core/errors.ts";
import { shaderText } from "../core/kernel.ts";
import { type MatmulForm, matmulVariants, type ProductShape, plainVariants } from "./matmul_kernels.ts";
import { matrixTiling } from "./products/matrix_tiling.ts";
import { type MatrixVariant, matrixVariants } from "./products/matrix_variants.ts";
import { matrixKernel } from "./products/product_kernels.ts";

/** A product whose kernel is shown: its sizes, and what else its text depends on. */
export interface ShownProduct extends ProductShape {
  readonly transposeA: boolean;
  /** Of operands, bias and result. */
  readonly dtype: DType;
  /** Matrices of the adapter that the text of a `matrix_…` variant is for: rows, columns and depth. */
  readonly matrix: readonly [rows: number, columns: number, depth: number];
  /** Size of the subgroups of that adapter. */
  readonly lanes: number;
}

/**
 * The WGSL that a variant of the product is compiled from. Nothing is asked of an adapter, so that texts for others can be read.
 *
 * @throws OptionError where no variant has the name
 */
export function productKernelText(name: string, product: ShownProduct): string {
  const { kernel, isWide, types } = formOf(name, product);
  const element = isWide ? `vec4<${product.dtype}>` : product.dtype;
  return shaderText(kernel, { ...types(product.dtype), Bias: element, Result: element });
}

function formOf(name: string, product: ShownProduct): MatmulForm {
  const ofMatrices = matrixVariants.find((candidate) => candidate.name === name);
  if (ofMatrices) return matrixForm(ofMatrices, product);
  const variant = plainVariants.find((candidate) => candidate.name === name.replace(/_split$/, ""));
  if (variant) return variant.form(product);
  const names = matmulVariants.filter(({ split }) => !split).map((known) => known.name);
  throw new OptionError(`matmul: no variant is called ${name}; choose from ${names.join(", ")}`);
}

function matrixForm({ form, sums }: MatrixVariant, { matrix, lanes, dtype }: ShownProduct): MatmulForm {
  const [rows, columns, depth] = matrix;
  const component = dtype === "f16" ? "f16" : "f32";
  const shape: MatrixShape = { rows, columns, depth, component, result: sums };
  return {
    kernel: matrixKernel(matrixTiling(shape, lanes, form), component, true),
    isWide: false,
    types: (operands) => ({ Left: operands, Right: operands }),
  };
}
