import { d, tgpu } from "typegpu";
import source from "../../shaders/batch_norm_grad.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import { checkDType, checkSameShape, matrixShape } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { type ColumnVariant, columnLaunch } from "./column_launch.ts";

const Params = d.struct({ rows: d.u32, columns: d.u32, activates: d.u32, training: d.u32 }).$name("Params");
const elements = d.arrayOf(d.vec4f);
export const batchNormGradKernel = defineKernel({
  name: "batch_norm_grad",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: elements },
    saved: { storage: elements },
    weight: { storage: elements },
    bias: { storage: elements },
    dy: { storage: elements },
    dx: { storage: elements, access: "mutable" },
    dWeight: { storage: elements, access: "mutable" },
    dBias: { storage: elements, access: "mutable" },
  }),
});

/**
 * Gradients of batch norm, and of GELU behind it, in one kernel.
 *
 * @param x - the argument of batch norm, `[rows, columns]`
 * @param kept - `saved` is `[2, columns]`: mean and 1 / √(variance + epsilon) that the forward pass used; `variant` is its own
 * @param dy - gradient of the result
 * @throws ShapeError, DTypeError, ProgramMixError
 */
export function batchNormGrad(
  x: Tensor,
  kept: { readonly saved: Tensor; readonly weight: Tensor; readonly bias: Tensor; readonly variant: ColumnVariant },
  dy: Tensor,
  { mode, activation }: { readonly mode: "training" | "evaluation"; readonly activation?: "gelu" },
): { dx: Tensor; dWeight: Tensor; dBias: Tensor } {
  const { saved, weight, bias, variant } = kept;
  const [rows, columns] = matrixShape("batchNormGrad", "x", x);
  checkDType("batchNormGrad", "dy", dy, ["f32"]);
  checkSameShape("batchNormGrad", "dy", dy.shape, x.shape);
  const program = programOf("batchNormGrad", x, saved, weight, bias, dy);
  const dx = program.empty(x.shape);
  const dWeight = program.empty([columns]);
  const dBias = program.empty([columns]);
  const { count, workgroups, declarations } = columnLaunch(program.device, variant, columns);
  program.dispatch(
    batchNormGradKernel,
    { rows, columns: count, activates: Number(activation === "gelu"), training: Number(mode === "training") },
    { x, saved, weight, bias, dy, dx, dWeight, dBias },
    workgroups,
    {
      operation: "batchNorm",
      declarations,
      flops: (activation === "gelu" ? 65 : 15) * x.size,
    },
  );
  return { dx, dWeight, dBias };
}
