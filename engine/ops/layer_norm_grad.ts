import { d, tgpu } from "typegpu";
import source from "../../shaders/layer_norm_grad.wgsl" with { type: "text" };
import columnsSource from "../../shaders/layer_norm_grad_columns.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, checkSameShape, rowsAndColumns } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { elementTypes, manyStridingGroups } from "./elementwise.ts";
import { type BlockVariant, blockGroups, defineBlockVariants } from "./row_variant.ts";

const Params = d.struct({ rows: d.u32, columns: d.u32, width: d.f32, addsResidual: d.u32 }).$name("Params");
const elements = d.arrayOf(d.vec4f);
export const layerNormGradKernel = defineKernel({
  name: "layer_norm_grad",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: elements },
    mean: { storage: d.arrayOf(d.f32) },
    rstd: { storage: d.arrayOf(d.f32) },
    weight: { storage: elements },
    dy: { storage: elements },
    residual: { storage: elements },
    dx: { storage: elements, access: "mutable" },
    partials: { storage: elements, access: "mutable" },
  }),
});
const ColumnParams = d.struct({ groups: d.u32, columns: d.u32 }).$name("Params");
export const layerNormGradColumnsKernel = defineKernel({
  name: "layer_norm_grad_columns",
  source: columnsSource,
  params: ColumnParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: ColumnParams },
    partials: { storage: d.arrayOf(d.f32) },
    dWeight: { storage: d.arrayOf(d.f32), access: "mutable" },
    dBias: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

const chooseBlock = defineBlockVariants("layer_norm_grad", (program, variant, { rows, columns, dtype }) => {
  const x = program.input("x", [rows, columns], dtype);
  const [mean, rstd] = [program.input("mean", [rows]), program.input("rstd", [rows])];
  const kept = { mean, rstd, weight: program.input("weight", [columns]) };
  const { dx, dWeight, dBias } = launch(program, variant, x, kept, program.input("dy", x.shape, dtype), undefined);
  return [dx, dWeight, dBias];
});

/** What the forward pass kept. */
interface Kept {
  readonly mean: Tensor;
  readonly rstd: Tensor;
  readonly weight: Tensor;
}

interface LayerNormGradients {
  readonly dx: Tensor;
  readonly dWeight: Tensor;
  readonly dBias: Tensor;
}

export interface LayerNormGradOptions {
  /** Added to dx: the gradient that reaches `x` around the norm in a residual block. */
  readonly residual?: Tensor;
}

/**
 * Gradients of layer norm in one pass over `x` and `dy`, and the sums over rows in a fixed order.
 *
 * @param x - the argument of layer norm, `[..., columns]`
 * @param kept - mean, rstd and weight that the forward pass kept
 * @param dy - gradient of the result
 * @throws ShapeError, DTypeError, ProgramMixError
 */
export function layerNormGrad(
  x: Tensor,
  kept: Kept,
  dy: Tensor,
  { residual }: LayerNormGradOptions = {},
): LayerNormGradients {
  const { mean, rstd, weight } = kept;
  const [rows, columns] = rowsAndColumns("layerNormGrad", "x", x);
  for (const [name, operand] of [
    ["dy", dy],
    ["residual", residual],
  ] as const) {
    if (!operand) continue;
    checkDType("layerNormGrad", name, operand, [x.dtype]);
    checkSameShape("layerNormGrad", name, operand.shape, x.shape);
  }
  const program = programOf("layerNormGrad", x, mean, rstd, weight, dy, residual);
  const variant = chooseBlock(program.device, { rows, columns, dtype: x.dtype });
  return launch(program, variant, x, kept, dy, residual);
}

function launch(
  program: Program,
  variant: BlockVariant,
  x: Tensor,
  { mean, rstd, weight }: Kept,
  dy: Tensor,
  residual: Tensor | undefined,
): LayerNormGradients {
  const [rows, columns] = rowsAndColumns("layerNormGrad", "x", x);
  const groups = blockGroups(variant, rows, program.device);
  const dx = program.empty(x.shape, x.dtype);
  const partials = program.empty([groups, 2, columns]);
  const wide = columns % 4 === 0;
  program.dispatch(
    layerNormGradKernel,
    { rows, columns: wide ? columns / 4 : columns, width: columns, addsResidual: Number(residual !== undefined) },
    { x, mean, rstd, weight, dy, residual: residual ?? dy, dx, partials },
    [groups],
    {
      operation: "layerNorm",
      declarations: {
        ...elementTypes(wide, x.dtype),
        share: wide ? "1.0" : "0.25",
        blockRows: `${variant.blockRows}u`,
      },
      flops: 16 * x.size,
    },
  );
  const dWeight = program.empty([columns]);
  const dBias = program.empty([columns]);
  const operands = { partials, dWeight, dBias };
  program.dispatch(
    layerNormGradColumnsKernel,
    { groups, columns },
    operands,
    manyStridingGroups(2 * columns, program.device),
    {
      operation: "layerNorm",
      flops: partials.size,
    },
  );
  return { dx, dWeight, dBias };
}
