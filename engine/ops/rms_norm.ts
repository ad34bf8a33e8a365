import { d, tgpu } from "typegpu";
import source from "../../shaders/rms_norm.wgsl" with { type: "text" };
import gradSource from "../../shaders/rms_norm_grad.wgsl" with { type: "text" };
import workgroupSource from "../../shaders/rms_norm_workgroup.wgsl" with { type: "text" };
import { OptionError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, checkSameShape, rowsAndColumns } from "../core/shape.ts";
import { programOf, reshape, type Tensor } from "../core/tensor.ts";
import { elementTypes } from "./elementwise.ts";
import { reduceAxes } from "./reduce.ts";
import {
  type BlockVariant,
  blockGroups,
  defineBlockVariants,
  defineRowVariants,
  type RowVariant,
  rowGroups,
} from "./row_variant.ts";

const Params = d.struct({ rows: d.u32, columns: d.u32, width: d.f32, epsilon: d.f32 }).$name("Params");
const elements = d.arrayOf(d.vec4f);
const layout = tgpu.bindGroupLayout({
  params: { uniform: Params },
  x: { storage: elements },
  weight: { storage: elements },
  y: { storage: elements, access: "mutable" },
  rstd: { storage: d.arrayOf(d.f32), access: "mutable" },
});
/** By variant: a thread or a workgroup per row. */
export const rmsNormKernels = {
  invocation: defineKernel({ name: "rms_norm", source, params: Params, layout }),
  workgroup: defineKernel({ name: "rms_norm_workgroup", source: workgroupSource, params: Params, layout }),
};
const GradParams = d.struct({ rows: d.u32, columns: d.u32, width: d.f32, addsResidual: d.u32 }).$name("Params");
export const rmsNormGradKernel = defineKernel({
  name: "rms_norm_grad",
  source: gradSource,
  params: GradParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: GradParams },
    x: { storage: elements },
    rstd: { storage: d.arrayOf(d.f32) },
    weight: { storage: elements },
    dy: { storage: elements },
    residual: { storage: elements },
    dx: { storage: elements, access: "mutable" },
    partials: { storage: elements, access: "mutable" },
  }),
});

/**
 * x / √(mean(x²) + epsilon) · weight along the last axis (arXiv 1910.07467, eq. 4). A row with NaN becomes NaN; beside an
 * infinite number, which becomes NaN, the others become 0.
 *
 * @param x - `[..., columns]`, f32 or f16
 * @param weight - scale per column, `[columns]`, f32
 * @param epsilon - added to the mean square, in the unit of x². Default 1e-6, as in {@link layerNorm}
 * @returns the shape and type of `x`; a row of zeros stays zero
 * @throws ShapeError, RankError for a scalar, DTypeError, OptionError for an epsilon that is not positive, ProgramMixError
 */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon = 1e-6): Tensor {
  if (!(epsilon > 0)) throw new OptionError(`rmsNorm: epsilon ${epsilon} is not positive; the usual value is 1e-6`);
  checkDType("rmsNorm", "x", x, ["f32", "f16"]);
  checkDType("rmsNorm", "weight", weight, ["f32"]);
  const [rows, columns] = rowsAndColumns("rmsNorm", "x", x);
  checkSameShape("rmsNorm", "weight", weight.shape, [columns]);
  const program = programOf("rmsNorm", x, weight);
  const variant = chooseRmsNorm(program.device, { rows, columns, dtype: x.dtype });
  const { y, rstd } = forward(program, variant, x, weight, epsilon);
  // With h = x rstd and g = dy weight:  dx = rstd (g - h mean(g h)),  dWeight = sum of dy h over rows.
  return program.record(y, [x, weight], (dy, [needsX], pending) => {
    checkDType("rmsNorm", "dy", dy, [x.dtype]);
    const residual = needsX ? pending.take(0) : undefined;
    const target = programOf("rmsNorm", x, weight, rstd, dy, residual);
    const block = chooseBlock(target.device, { rows, columns, dtype: x.dtype });
    const { dx, dWeight } = backward(target, block, { x, weight, rstd, dy, residual });
    return [dx, dWeight];
  });
}

const chooseRmsNorm = defineRowVariants("rms_norm", (program, variant, { rows, columns, dtype }) => {
  const x = program.input("x", [rows, columns], dtype);
  const { y, rstd } = forward(program, variant, x, program.input("weight", [columns]), 1e-6);
  return [y, rstd];
});

const chooseBlock = defineBlockVariants("rms_norm_grad", (program, variant, { rows, columns, dtype }) => {
  const x = program.input("x", [rows, columns], dtype);
  const [weight, rstd] = [program.input("weight", [columns]), program.input("rstd", [rows])];
  const dy = program.input("dy", x.shape, dtype);
  const { dx, dWeight } = backward(program, variant, { x, weight, rstd, dy, residual: undefined });
  return [dx, dWeight];
});

function forward(program: Program, variant: RowVariant, x: Tensor, weight: Tensor, epsilon: number) {
  const [rows, columns] = rowsAndColumns("rmsNorm", "x", x);
  const y = program.empty(x.shape, x.dtype);
  const rstd = program.empty([rows]);
  const { count, declarations } = elementsOf(x, columns);
  program.dispatch(
    rmsNormKernels[variant],
    { rows, columns: count, width: columns, epsilon },
    { x, weight, y, rstd },
    rowGroups(variant, rows, program.device),
    { declarations, flops: 4 * x.size },
  );
  return { y, rstd };
}

interface GradOperands {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly rstd: Tensor;
  readonly dy: Tensor;
  /** Added to dx: the gradient that reaches `x` around the norm in a residual block. */
  readonly residual: Tensor | undefined;
}

function backward(program: Program, variant: BlockVariant, { x, weight, rstd, dy, residual }: GradOperands) {
  const [rows, columns] = rowsAndColumns("rmsNorm", "x", x);
  const groups = blockGroups(variant, rows, program.device);
  const dx = program.empty(x.shape, x.dtype);
  const partials = program.empty([groups, columns]);
  const { count, declarations } = elementsOf(x, columns);
  program.dispatch(
    rmsNormGradKernel,
    { rows, columns: count, width: columns, addsResidual: Number(residual !== undefined) },
    { x, rstd, weight, dy, residual: residual ?? dy, dx, partials },
    [groups],
    { operation: "rmsNorm", declarations: { ...declarations, blockRows: `${variant.blockRows}u` }, flops: 11 * x.size },
  );
  const sums = reduceAxes("rmsNorm", partials, [0], { kind: "sum" });
  return { dx, dWeight: reshape(sums, [columns]) };
}

/** Columns in Elements, and what an Element is. */
function elementsOf(x: Tensor, columns: number) {
  const wide = columns % 4 === 0;
  return {
    count: wide ? columns / 4 : columns,
    declarations: { ...elementTypes(wide, x.dtype), share: wide ? "1.0" : "0.25" },
  };
}
