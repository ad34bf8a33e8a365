import { d, tgpu } from "typegpu";
import source from "../../shaders/softmax.wgsl" with { type: "text" };
import gradSource from "../../shaders/softmax_grad.wgsl" with { type: "text" };
import gradWorkgroupSource from "../../shaders/softmax_grad_workgroup.wgsl" with { type: "text" };
import workgroupSource from "../../shaders/softmax_workgroup.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import { checkDType, resolveAxis, rowsAndColumns } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { elementTypes } from "./elementwise.ts";
import { transpose } from "./permute.ts";
import { rowGroups, rowVariant, rowWidth } from "./row_variant.ts";

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
 * exp(x) / sum(exp(x)) along an axis, computed from differences to the maximum.
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
  const y = program.empty(x.shape, x.dtype);
  const variant = rowVariant(program.device, "softmax", rows, columns);
  const width = rowWidth(variant, columns);
  const params = { rows, columns: columns / width };
  const declarations =
    variant === "invocation" ? { ...elementTypes(width === 4, x.dtype), width: `${width}u` } : { Stored: x.dtype };
  const options = { declarations, flops: 5 * x.size };
  program.dispatch(softmaxKernels[variant], params, { x, y }, rowGroups(variant, rows), options);
  // dx = y (dy - sum(y dy))
  return program.record(y, [x], (dy) => {
    const owner = programOf("softmax", y, dy);
    const dx = owner.empty(x.shape, x.dtype);
    owner.dispatch(softmaxGradKernels[variant], params, { y, dy, dx }, rowGroups(variant, rows), options);
    return [dx];
  });
}
