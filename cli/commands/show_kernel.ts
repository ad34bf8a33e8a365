import { EngineError } from "../../engine/core/errors.ts";
import { productKernelText, type ShownProduct } from "../../engine/ops/matmul_show.ts";
import type { Output } from "../output/streams.ts";
import { UsageError } from "../program/usage_error.ts";

const lengths = ["rows", "columns", "depth", "batches"] as const;
const usual: ShownProduct = {
  rows: 1024,
  columns: 1024,
  depth: 1024,
  batches: 1,
  transposeA: false,
  dtype: "f32",
  matrix: [16, 16, 16],
  lanes: 32,
};

/**
 * Prints the WGSL of a product's variant, such as `shared_128,rows=1576,columns=192,dtype=f16,transposeA`.
 *
 * @throws UsageError for a name or a trait that no product has
 */
export function showKernel(request: string, output: Output): void {
  const [name = "", ...traits] = request.split(",");
  const product = Object.assign({}, usual, ...traits.map((trait) => traitOf(trait, request)));
  const text = textOf(name, product);
  output.result({ variant: name, product, text });
  output.line(text.trimEnd());
}

function traitOf(trait: string, request: string): Partial<ShownProduct> {
  const [key = "", value = ""] = trait.split("=");
  const length = lengths.find((known) => known === key);
  if (length && /^[1-9]\d{0,8}$/.test(value)) return { [length]: Number(value) };
  const [, matrixRows, matrixColumns, matrixDepth] =
    trait.match(/^matrix=(8|16|32|64)x(8|16|32|64)x(8|16|32|64)$/) ?? [];
  if (matrixDepth) return { matrix: [Number(matrixRows), Number(matrixColumns), Number(matrixDepth)] };
  if (key === "lanes" && /^(4|8|16|32|64|128)$/.test(value)) return { lanes: Number(value) };
  if (trait === "transposeA") return { transposeA: true };
  if (trait === "dtype=f32" || trait === "dtype=f16") return { dtype: trait === "dtype=f16" ? "f16" : "f32" };
  throw new UsageError(
    `--show-kernel ${request}: "${trait}" is no trait of a product; expected rows=N, columns=N, depth=N, batches=N, transposeA, dtype=f32, dtype=f16, or of an adapter's matrices matrix=ROWSxCOLUMNSxDEPTH and lanes=N`,
  );
}

function textOf(name: string, product: ShownProduct): string {
  try {
    return productKernelText(name, product);
  } catch (error) {
    if (error instanceof EngineError) throw new UsageError(`--show-kernel: ${error.message}`);
    throw error;
  }
}
