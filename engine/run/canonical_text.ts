import { ValidationError } from "../core/errors.ts";
import type { Kernel } from "../core/kernel.ts";
import { isCanonicalAttention } from "../ops/attention_kernels.ts";
import { isProductKernel } from "../ops/products/product_kernels.ts";
import { reproducibleText, type ShortOperands } from "../wgsl/reproducible.ts";
import { WgslError } from "../wgsl/wgsl_error.ts";

/**
 * What a reproducible device compiles for a kernel.
 *
 * @param text - of the kernel with its declarations, as `shaderText` gives it
 * @throws ValidationError that names the kernel and what the reproducible mode cannot do with it
 */
export function canonicalText(kernel: Kernel, text: string): string {
  try {
    return reproducibleText(text, shortOperands(kernel));
  } catch (cause) {
    if (!(cause instanceof WgslError)) throw cause;
    throw new ValidationError(
      `kernel ${kernel.name} is not admitted in the reproducible mode: ${cause.message}; use the default mode`,
      { cause },
    );
  }
}

function shortOperands(kernel: Kernel): ShortOperands | undefined {
  if (isProductKernel(kernel)) return { bindings: ["a", "b"] };
  return isCanonicalAttention(kernel) ? { bindings: ["qkv", "y", "dy"], computed: true } : undefined;
}
