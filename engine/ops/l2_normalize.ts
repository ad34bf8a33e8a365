import { d, tgpu } from "typegpu";
import source from "../../shaders/l2_normalize.wgsl" with { type: "text" };
import gradSource from "../../shaders/l2_normalize_grad.wgsl" with { type: "text" };
import gradWorkgroupSource from "../../shaders/l2_normalize_grad_workgroup.wgsl" with { type: "text" };
import workgroupSource from "../../shaders/l2_normalize_workgroup.wgsl" with { type: "text" };
import { OptionError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, rowsAndColumns } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { defineRowVariants, type RowVariant, rowGroups } from "./row_variant.ts";

const Params = d.struct({ rows: d.u32, columns: d.u32, epsilon: d.f32 }).$name("Params");
const layout = tgpu.bindGroupLayout({
  params: { uniform: Params },
  x: { storage: d.arrayOf(d.f32) },
  y: { storage: d.arrayOf(d.f32), access: "mutable" },
  scale: { storage: d.arrayOf(d.f32), access: "mutable" },
});
/** By variant: a thread or a workgroup per row. */
export const l2NormalizeKernels = {
  invocation: defineKernel({ name: "l2_normalize", source, params: Params, layout }),
  workgroup: defineKernel({ name: "l2_normalize_workgroup", source: workgroupSource, params: Params, layout }),
};
const GradParams = d.struct({ rows: d.u32, columns: d.u32, floor: d.f32 }).$name("Params");
const gradLayout = tgpu.bindGroupLayout({
  params: { uniform: GradParams },
  y: { storage: d.arrayOf(d.f32) },
  scale: { storage: d.arrayOf(d.f32) },
  dy: { storage: d.arrayOf(d.f32) },
  dx: { storage: d.arrayOf(d.f32), access: "mutable" },
});
export const l2NormalizeGradKernels = {
  invocation: defineKernel({ name: "l2_normalize_grad", source: gradSource, params: GradParams, layout: gradLayout }),
  workgroup: defineKernel({
    name: "l2_normalize_grad_workgroup",
    source: gradWorkgroupSource,
    params: GradParams,
    layout: gradLayout,
  }),
};

/**
 * Scales each row along the last axis to unit length: v / max(‖v‖, epsilon). A row with NaN becomes NaN; beside an infinite number,
 * which becomes NaN, the others become 0.
 *
 * @param x - `[..., columns]`, f32
 * @param epsilon - smallest norm divided by, in the unit of `x`; from 1e-30. Default 1e-12, as in PyTorch
 * @returns the same shape; a row of zeros stays zero
 * @throws DTypeError, RankError for a scalar, OptionError for a smaller epsilon
 */
export function l2Normalize(x: Tensor, epsilon = 1e-12): Tensor {
  checkDType("l2Normalize", "x", x, ["f32"]);
  if (!(epsilon >= 1e-30)) {
    throw new OptionError(
      `l2Normalize: epsilon ${epsilon} is below 1e-30, where f32 has no inverse; the usual value is 1e-12`,
    );
  }
  const { unit, scale, floor, variant } = unitRows(x, epsilon);
  return unit.program.record(unit, [x], (dy) => [
    backward(programOf("l2Normalize", unit, dy), variant, { unit, scale, floor }, dy),
  ]);
}

/** One choice for the value and its gradient: both read and write whole rows. */
const chooseL2Normalize = defineRowVariants("l2_normalize", (program, variant, { rows, columns }) => {
  const kept = forward(program, variant, program.input("x", [rows, columns]), 1e-12);
  return [kept.unit, backward(program, variant, kept, program.input("dy", kept.unit.shape))];
});

/**
 * The rows of `x` at unit length with what a gradient needs, for kernels that fold it into theirs. Not on the tape.
 *
 * @returns `scale` is `[rows]`; it reaches `floor` where a row is shorter than epsilon and was divided by that constant
 */
export function unitRows(x: Tensor, epsilon = 1e-12): UnitRows & { readonly variant: RowVariant } {
  const [rows, columns] = rowsAndColumns("unitRows", "x", x);
  const program = programOf("unitRows", x);
  const variant = chooseL2Normalize(program.device, { rows, columns, dtype: "f32" });
  return { ...forward(program, variant, x, epsilon), variant };
}

interface UnitRows {
  readonly unit: Tensor;
  readonly scale: Tensor;
  readonly floor: number;
}

function forward(program: Program, variant: RowVariant, x: Tensor, epsilon: number): UnitRows {
  const [rows, columns] = rowsAndColumns("unitRows", "x", x);
  const unit = program.empty(x.shape);
  const scale = program.empty([rows]);
  program.dispatch(
    l2NormalizeKernels[variant],
    { rows, columns, epsilon },
    { x, y: unit, scale },
    rowGroups(variant, rows, program.device),
    { flops: 5 * x.size },
  );
  const floor = Math.fround(1 / Math.fround(epsilon)) * (1 - 2 ** -20); // a few units below, since drivers divide within 2.5 units
  return { unit, scale, floor };
}

function backward(program: Program, variant: RowVariant, { unit, scale, floor }: UnitRows, dy: Tensor): Tensor {
  const [rows, columns] = rowsAndColumns("l2Normalize", "x", unit);
  const dx = program.empty(unit.shape);
  program.dispatch(
    l2NormalizeGradKernels[variant],
    { rows, columns, floor },
    { y: unit, scale, dy, dx },
    rowGroups(variant, rows, program.device),
    { operation: "l2Normalize", flops: 5 * unit.size },
  );
  return dx;
}
