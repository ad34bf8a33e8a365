import { d, tgpu } from "typegpu";
import source from "../../shaders/count_non_finite.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import { checkDType } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { full } from "./fill.ts";
import { gridOf } from "./grid.ts";

const Params = d.struct({ count: d.u32 }).$name("Params");
export const countNonFiniteKernel = defineKernel({
  name: "count_non_finite",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: d.arrayOf(d.u32) },
    total: { storage: d.atomic(d.u32), access: "mutable" },
  }),
});

/**
 * How many elements are NaN or infinite, told by their bits. No gradient: differentiating it throws a NoGradientError; `detach` it.
 *
 * @param x - f32 or f16
 * @returns u32 `[1]`
 * @throws DTypeError
 */
export function countNonFinite(x: Tensor): Tensor {
  checkDType("countNonFinite", "x", x, ["f32", "f16"]);
  const program = programOf("countNonFinite", x);
  const total = full(program, [1], 0, "u32");
  const isHalf = x.dtype === "f16";
  const words = isHalf ? Math.ceil(x.size / 2) : x.size;
  const options = { constants: { isHalf: isHalf ? 1 : 0 } };
  program.dispatch(countNonFiniteKernel, { count: x.size }, { x, total }, gridOf(program.device, words), options);
  return total;
}
