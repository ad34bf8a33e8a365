import { d, tgpu } from "typegpu";
import source from "../../shaders/gelu.wgsl" with { type: "text" };
import gradSource from "../../shaders/gelu_grad.wgsl" with { type: "text" };
import gradInPlaceSource from "../../shaders/gelu_grad_in_place.wgsl" with { type: "text" };
import inPlaceSource from "../../shaders/gelu_in_place.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import { checkDType } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { mul, sub } from "./binary.ts";
import { clamp } from "./clamp.ts";
import { elementwiseLaunch } from "./elementwise.ts";
import { exp, square } from "./unary.ts";

const Params = d.struct({ count: d.u32 }).$name("Params");
const elements = d.arrayOf(d.vec4f);
export const geluKernel = defineKernel({
  name: "gelu",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: elements },
    y: { storage: elements, access: "mutable" },
  }),
});
export const geluInPlaceKernel = defineKernel({
  name: "gelu_in_place",
  source: inPlaceSource,
  params: Params,
  layout: tgpu.bindGroupLayout({ params: { uniform: Params }, y: { storage: elements, access: "mutable" } }),
});
export const geluGradKernel = defineKernel({
  name: "gelu_grad",
  source: gradSource,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: elements },
    dy: { storage: elements },
    dx: { storage: elements, access: "mutable" },
  }),
});
export const geluGradInPlaceKernel = defineKernel({
  name: "gelu_grad_in_place",
  source: gradInPlaceSource,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: elements },
    dx: { storage: elements, access: "mutable" },
  }),
});

/** Operations per element: erf about 30, its argument and the product 5. */
const flopsPerElement = 35;

/**
 * x (1 + erf(x / √2)) / 2, the exact GELU (arXiv 1606.08415); erf is within 8e-8. NaN stays NaN, ∞ gives ∞, -∞ gives NaN as in PyTorch.
 *
 * @param x - any shape, f32 or f16
 * @throws DTypeError
 */
export function gelu(x: Tensor): Tensor {
  checkDType("gelu", "x", x, ["f32", "f16"]);
  const program = programOf("gelu", x);
  const y = program.empty(x.shape, x.dtype);
  const { count, workgroups, declarations } = elementwiseLaunch(x);
  program.dispatch(geluKernel, { count }, { x, y }, workgroups, {
    declarations,
    flops: flopsPerElement * x.size,
    inPlace: { kernel: geluInPlaceKernel, output: "y", operand: "x" },
  });
  // dx = dy (Phi(x) + x phi(x)), Phi and phi the distribution and density of the standard normal
  return program.record(y, [x], (dy) => [geluGrad(x, dy)]);
}

/** The gradient of {@link gelu} at `x`, times `dy`. @throws DTypeError, ProgramMixError */
export function geluGrad(x: Tensor, dy: Tensor): Tensor {
  checkDType("geluGrad", "dy", dy, [x.dtype]);
  const program = programOf("geluGrad", x, dy);
  const dx = program.empty(x.shape, x.dtype);
  const { count, workgroups, declarations } = elementwiseLaunch(x);
  program.dispatch(geluGradKernel, { count }, { x, dy, dx }, workgroups, {
    declarations,
    flops: (flopsPerElement + 15) * x.size,
    inPlace: { kernel: geluGradInPlaceKernel, output: "dx", operand: "dy" },
  });
  return dx.program.record(dx, [x, dy], (g, [needsX, needsDy]) => [
    needsX ? mul(mul(g, dy), geluBend(x)) : undefined,
    needsDy ? geluGrad(x, g) : undefined,
  ]);
}

/** gelu''(x) = (2 - x²) phi(x), phi the density of the standard normal, recorded with its gradient; without inf · 0 far out. */
export function geluBend(x: Tensor): Tensor {
  const near = clamp(x, { low: -20, high: 20 }); // phi(20) is 0 in f32
  const density = mul(exp(mul(square(near), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return mul(sub(2, square(near)), density);
}
