import { d, tgpu } from "typegpu";
import source from "../../shaders/layer_norm.wgsl" with { type: "text" };
import workgroupSource from "../../shaders/layer_norm_workgroup.wgsl" with { type: "text" };
import { OptionError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, checkSameShape, rowsAndColumns } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { elementTypes } from "./elementwise.ts";
import { full } from "./fill.ts";
import { layerNormGrad } from "./layer_norm_grad.ts";
import { defineRowVariants, type RowVariant, rowGroups } from "./row_variant.ts";

const Params = d.struct({ rows: d.u32, columns: d.u32, width: d.f32, epsilon: d.f32 }).$name("Params");
const elements = d.arrayOf(d.vec4f);
const layout = tgpu.bindGroupLayout({
  params: { uniform: Params },
  x: { storage: elements },
  weight: { storage: elements },
  bias: { storage: elements },
  y: { storage: elements, access: "mutable" },
  mean: { storage: d.arrayOf(d.f32), access: "mutable" },
  rstd: { storage: d.arrayOf(d.f32), access: "mutable" },
});
/** By variant: a thread or a workgroup per row. */
export const layerNormKernels = {
  invocation: defineKernel({ name: "layer_norm", source, params: Params, layout }),
  workgroup: defineKernel({ name: "layer_norm_workgroup", source: workgroupSource, params: Params, layout }),
};

export interface LayerNormOptions {
  /** Scale per column, `[columns]`; 1 if left out. */
  readonly weight?: Tensor;
  /** Shift per column, `[columns]`; 0 if left out. */
  readonly bias?: Tensor;
  /** Added to the variance. Default 1e-6, the value of the ViT family. */
  readonly epsilon?: number;
}

/** What layer norm gives and what its gradient needs. */
export interface LayerNormResult {
  readonly y: Tensor;
  /** Mean of each row, `[rows]`. */
  readonly mean: Tensor;
  /** 1 / √(variance + epsilon) of each row, `[rows]`. */
  readonly rstd: Tensor;
  /** The scale that was used. */
  readonly weight: Tensor;
}

/**
 * (x − mean) / √(variance + epsilon) · weight + bias along the last axis, with the biased variance (arXiv 1607.06450). A row with
 * NaN or an infinity becomes NaN.
 *
 * @param x - `[..., columns]`, f32 or f16; weight and bias are f32
 * @throws ShapeError, DTypeError, OptionError for an epsilon that is not positive, ProgramMixError
 */
export function layerNorm(x: Tensor, options: LayerNormOptions = {}): Tensor {
  const { weight, bias } = options;
  const result = layerNormForward(x, options);
  const { y } = result;
  return y.program.record(y, [x, weight, bias], (dy, [needsX], pending) => {
    const residual = needsX ? pending.take(0) : undefined;
    const { dx, dWeight, dBias } = layerNormGrad(x, result, dy, residual ? { residual } : {});
    return [dx, dWeight, dBias];
  });
}

/** As {@link layerNorm} without a gradient rule, for operations that state a fused one with {@link layerNormGrad}. */
export function layerNormForward(x: Tensor, options: LayerNormOptions = {}): LayerNormResult {
  const { epsilon = 1e-6 } = options;
  if (!(epsilon > 0)) throw new OptionError(`layerNorm: epsilon ${epsilon} is not positive; the usual value is 1e-6`);
  checkDType("layerNorm", "x", x, ["f32", "f16"]);
  const [rows, columns] = rowsAndColumns("layerNorm", "x", x);
  for (const [name, operand] of [
    ["weight", options.weight],
    ["bias", options.bias],
  ] as const) {
    if (!operand) continue;
    checkDType("layerNorm", name, operand, ["f32"]);
    checkSameShape("layerNorm", name, operand.shape, [columns]);
  }
  const program = programOf("layerNorm", x, options.weight, options.bias);
  const weight = options.weight ?? full(program, [columns], 1);
  const bias = options.bias ?? full(program, [columns], 0);
  const variant = chooseLayerNorm(program.device, { rows, columns, dtype: x.dtype });
  return launch(program, variant, x, { weight, bias, epsilon });
}

const chooseLayerNorm = defineRowVariants("layer_norm", (program, variant, { rows, columns, dtype }) => {
  const x = program.input("x", [rows, columns], dtype);
  const [weight, bias] = [program.input("weight", [columns]), program.input("bias", [columns])];
  const { y, mean, rstd } = launch(program, variant, x, { weight, bias, epsilon: 1e-6 });
  return [y, mean, rstd];
});

function launch(
  program: Program,
  variant: RowVariant,
  x: Tensor,
  { weight, bias, epsilon }: Required<LayerNormOptions>,
): LayerNormResult {
  const [rows, columns] = rowsAndColumns("layerNorm", "x", x);
  const y = program.empty(x.shape, x.dtype);
  const mean = program.empty([rows]);
  const rstd = program.empty([rows]);
  const wide = columns % 4 === 0;
  program.dispatch(
    layerNormKernels[variant],
    { rows, columns: wide ? columns / 4 : columns, width: columns, epsilon },
    { x, weight, bias, y, mean, rstd },
    rowGroups(variant, rows, program.device),
    { declarations: { ...elementTypes(wide, x.dtype), share: wide ? "1.0" : "0.25" }, flops: 8 * x.size },
  );
  return { y, mean, rstd, weight };
}
