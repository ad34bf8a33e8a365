import { d, tgpu } from "typegpu";
import normSource from "../../shaders/gradient_norm.wgsl" with { type: "text" };
import squaresSource from "../../shaders/sum_squares.wgsl" with { type: "text" };
import { OptionError, ShapeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, showShape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";

const SquaresParams = d.struct({ count: d.u32, firstPartial: d.u32 }).$name("Params");
export const sumSquaresKernel = defineKernel({
  name: "sum_squares",
  source: squaresSource,
  params: SquaresParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: SquaresParams },
    x: { storage: d.arrayOf(d.vec4u) },
    sums: { storage: d.arrayOf(d.f32), access: "mutable" },
    counts: { storage: d.arrayOf(d.u32), access: "mutable" },
  }),
});
const NormParams = d.struct({ count: d.u32 }).$name("Params");
export const gradientNormKernel = defineKernel({
  name: "gradient_norm",
  source: normSource,
  params: NormParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: NormParams },
    sums: { storage: d.arrayOf(d.f32) },
    counts: { storage: d.arrayOf(d.u32) },
    norm: { storage: d.arrayOf(d.f32), access: "mutable" },
    nonFinite: { storage: d.arrayOf(d.u32), access: "mutable" },
  }),
});

/** Most partial sums per tensor; fixed, so that the bits do not depend on the adapter. */
const maxPartials = 1024;
/** vec4s per invocation before another workgroup is worth its tree. */
const runLength = 16;

export interface GradientNorm {
  /** Root of the sum of squares of all finite elements, f32 `[1]`. */
  readonly norm: Tensor;
  /** How many elements are NaN or infinite (an overflow of the sum counts as one more), u32 `[1]`. */
  readonly nonFinite: Tensor;
}

/**
 * The norm of all gradients together, in two passes with fixed order.
 *
 * @param gradients - f32 with sizes that are multiples of 4, such as the chunks of an arena
 * @throws OptionError for an empty list, ShapeError, DTypeError
 */
export function gradientNorm(program: Program, gradients: readonly Tensor[]): GradientNorm {
  if (gradients.length === 0) throw new OptionError("gradientNorm: the list is empty; give at least one tensor");
  const chunks = gradients.map((x, i) => {
    checkDType("gradientNorm", `gradient ${i}`, x, ["f32"]);
    if (x.size % 4 !== 0) {
      throw new ShapeError(
        `gradientNorm: gradient ${i} has shape ${showShape(x.shape)}, expected a multiple of 4 elements; use the chunks of an Arena`,
      );
    }
    return { x, count: x.size / 4, groups: Math.min(maxPartials, Math.ceil(x.size / 4 / 64 / runLength)) };
  });
  const partials = chunks.reduce((sum, { groups }) => sum + groups, 0);
  const [sums, counts] = [program.empty([partials]), program.empty([partials], "u32")];
  let firstPartial = 0;
  for (const { x, count, groups } of chunks) {
    const flops = 2 * x.size;
    program.dispatch(sumSquaresKernel, { count, firstPartial }, { x, sums, counts }, [groups], { flops });
    firstPartial += groups;
  }
  const result = { norm: program.empty([1]), nonFinite: program.empty([1], "u32") };
  program.dispatch(gradientNormKernel, { count: partials }, { sums, counts, ...result }, [1]);
  return result;
}
