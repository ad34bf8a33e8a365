import { d, tgpu } from "typegpu";
import source from "../../shaders/clamp.wgsl" with { type: "text" };
import gradSource from "../../shaders/clamp_grad.wgsl" with { type: "text" };
import { OptionError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import { checkDType } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { elementwiseLaunch } from "./elementwise.ts";
import { full } from "./fill.ts";

const Params = d.struct({ count: d.u32, low: d.f32, high: d.f32 }).$name("Params");
const elements = d.arrayOf(d.vec4f);
export const clampKernel = defineKernel({
  name: "clamp_values",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: elements },
    y: { storage: elements, access: "mutable" },
  }),
});
export const clampGradKernel = defineKernel({
  name: "clamp_grad",
  source: gradSource,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: elements },
    dy: { storage: elements },
    dx: { storage: elements, access: "mutable" },
  }),
});

/**
 * min(max(x, low), high); NaN stays NaN, and infinities stay where a bound is left out. The gradient passes where low ≤ x ≤ high.
 *
 * @param range - bounds in the unit of `x`; one may be left out
 * @throws OptionError if low > high or a bound is NaN; DTypeError
 */
export function clamp(x: Tensor, range: { readonly low?: number; readonly high?: number }): Tensor {
  const low = range.low ?? Number.NEGATIVE_INFINITY;
  const high = range.high ?? Number.POSITIVE_INFINITY;
  if (!(low <= high)) throw new OptionError(`clamp: low ${low} is not below high ${high}; exchange or correct them`);
  checkDType("clamp", "x", x, ["f32", "f16"]);
  const program = programOf("clamp", x);
  const y = program.empty(x.shape, x.dtype);
  const { count, workgroups, declarations } = elementwiseLaunch(x);
  const params = { count, low, high };
  program.dispatch(clampKernel, params, { x, y }, workgroups, { declarations, flops: 2 * x.size });
  return program.record(y, [x], (dy) => [gradient(x, dy, { low, high })]);
}

/** dy where x lies in the range; as a function of x it is flat. */
function gradient(x: Tensor, dy: Tensor, range: { readonly low: number; readonly high: number }): Tensor {
  const program = programOf("clamp", x, dy);
  const dx = program.empty(x.shape, x.dtype);
  const { count, workgroups, declarations } = elementwiseLaunch(x);
  program.dispatch(clampGradKernel, { count, ...range }, { x, dy, dx }, workgroups, {
    declarations,
    flops: 3 * x.size,
  });
  return program.record(dx, [x, dy], (g, [needsX, needsDy]) => [
    needsX ? full(g.program, x.shape, 0, x.dtype) : undefined,
    needsDy ? gradient(x, g, range) : undefined,
  ]);
}
