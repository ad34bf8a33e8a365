import { d, tgpu } from "typegpu";
import source from "../../shaders/softmax.wgsl" with { type: "text" };
import gradSource from "../../shaders/softmax_grad.wgsl" with { type: "text" };
import gradWorkgroupSource from "../../shaders/softmax_grad_workgroup.wgsl" with { type: "text" };
import workgroupSource from "../../shaders/softmax_workgroup.wgsl" with { type: "text" };
import { type Declarations, defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, resolveAxis, rowsAndColumns } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { mul, sub } from "./binary.ts";
import { cast } from "./cast.ts";
import { elementTypes } from "./elementwise.ts";
import { transpose } from "./permute.ts";
import { sum } from "./reduce.ts";
import { defineRowVariants, type RowProblem, type RowVariant, rowGroups, rowWidth } from "./row_variant.ts";

const Params = d.struct({ rows: d.u32, columns: d.u32 }).$name("Params");
type Column = typeof d.f32 | typeof d.vec4f;
const layoutOf = (element: Column) =>
  tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: d.arrayOf(element) },
    y: { storage: d.arrayOf(element), access: "mutable" },
  });
/** By variant: a thread or a workgroup per row. */
export const softmaxKernels = {
  invocation: defineKernel({ name: "softmax", source, params: Params, layout: layoutOf(d.vec4f) }),
  workgroup: defineKernel({
    name: "softmax_workgroup",
    source: workgroupSource,
    params: Params,
    layout: layoutOf(d.f32),
  }),
};
const gradLayoutOf = (element: Column) =>
  tgpu.bindGroupLayout({
    params: { uniform: Params },
    y: { storage: d.arrayOf(element) },
    dy: { storage: d.arrayOf(element) },
    dx: { storage: d.arrayOf(element), access: "mutable" },
  });
export const softmaxGradKernels = {
  invocation: defineKernel({
    name: "softmax_grad",
    source: gradSource,
    params: Params,
    layout: gradLayoutOf(d.vec4f),
  }),
  workgroup: defineKernel({
    name: "softmax_grad_workgroup",
    source: gradWorkgroupSource,
    params: Params,
    layout: gradLayoutOf(d.f32),
  }),
};

/**
 * exp(x) / sum(exp(x)) along an axis, computed from differences to the maximum. As in PyTorch -∞ gives 0 where the row holds
 * a number, and a row of -∞ alone, or with NaN or ∞, gives NaN.
 *
 * @param x - f32 or f16, computed in f32
 * @param axis - default the last; another one costs two transposed copies
 * @throws AxisError, DTypeError, RankError for a scalar
 */
export function softmax(x: Tensor, axis = -1): Tensor {
  checkDType("softmax", "x", x, ["f32", "f16"]);
  const [rows, columns] = rowsAndColumns("softmax", "x", x);
  const resolved = resolveAxis("softmax", axis, x.shape.length);
  if (resolved !== x.shape.length - 1) return transpose(softmax(transpose(x, resolved, -1)), resolved, -1);
  const program = programOf("softmax", x);
  const problem = { rows, columns, dtype: x.dtype };
  const variant = chooseSoftmax(program.device, problem);
  const y = forward(program, variant, problem, x);
  // dx = y (dy - sum(y dy))
  return program.record(y, [x], (dy) => [backward(programOf("softmax", y, dy), variant, problem, y, dy)]);
}

/** One choice for the value and its gradient: both read and write whole rows. */
const chooseSoftmax = defineRowVariants("softmax", (program, variant, problem) => {
  const { rows, columns, dtype } = problem;
  const y = forward(program, variant, problem, program.input("x", [rows, columns], dtype));
  return [y, backward(program, variant, problem, y, program.input("dy", y.shape, dtype))];
});

function forward(program: Program, variant: RowVariant, problem: RowProblem, x: Tensor): Tensor {
  const y = program.empty(x.shape, x.dtype);
  const { params, groups, options } = launchOf(program, variant, problem);
  program.dispatch(softmaxKernels[variant], params, { x, y }, groups, options);
  return y;
}

function backward(program: Program, variant: RowVariant, problem: RowProblem, y: Tensor, dy: Tensor): Tensor {
  const dx = program.empty(y.shape, y.dtype);
  const { params, groups, options } = launchOf(program, variant, problem);
  program.dispatch(softmaxGradKernels[variant], params, { y, dy, dx }, groups, { ...options, operation: "softmax" });
  return program.record(dx, [y, dy], (g, [needsY, needsDy]) => [
    needsY ? bend(y, dy, g) : undefined,
    needsDy ? backward(programOf("softmax", y, g), variant, problem, y, g) : undefined,
  ]);
}

/** Of the sum of g dx: g (dy - sum(y dy)) - dy sum(y g), with respect to y, in f32. */
function bend(y: Tensor, dy: Tensor, g: Tensor): Tensor {
  const [wideY, wideDy, wideG] = [cast(y, "f32"), cast(dy, "f32"), cast(g, "f32")];
  const alongRow = (by: Tensor): Tensor => sum(mul(wideY, by), { axes: [-1], keepDims: true });
  const direct = mul(wideG, sub(wideDy, alongRow(wideDy)));
  return cast(sub(direct, mul(wideDy, alongRow(wideG))), y.dtype);
}

function launchOf({ device }: Program, variant: RowVariant, { rows, columns, dtype }: RowProblem) {
  const width = rowWidth(variant, columns);
  const declarations: Declarations =
    variant === "invocation" ? { ...elementTypes(width === 4, dtype), width: `${width}u` } : { Stored: dtype };
  return {
    params: { rows, columns: columns / width },
    groups: rowGroups(variant, rows, device),
    options: { declarations, flops: 5 * rows * columns },
  };
}
