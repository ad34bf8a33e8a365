import type { DType } from "../core/dtype.ts";
import { OptionError } from "../core/errors.ts";
import { shaderText } from "../core/kernel.ts";
import { matmulVariants, type ProductShape } from "./matmul_kernels.ts";

/** A product whose kernel is shown: its sizes, and what else its text depends on. */
export interface ShownProduct extends ProductShape {
  readonly transposeA: boolean;
  /** Of operands, bias and result. */
  readonly dtype: DType;
}

/**
 * The WGSL that a variant of the product is compiled from.
 *
 * @throws OptionError where no variant has the name
 */
export function productKernelText(name: string, product: ShownProduct): string {
  const variant = matmulVariants.find((candidate) => candidate.name === name);
  if (!variant) {
    const names = matmulVariants.filter(({ split }) => !split).map((known) => known.name);
    throw new OptionError(`matmul: no variant is called ${name}; choose from ${names.join(", ")}`);
  }
  const { kernel, isWide, types } = variant.form(product);
  const element = isWide ? `vec4<${product.dtype}>` : product.dtype;
  return shaderText(kernel, { ...types(product.dtype), Bias: element, Result: element });
}
