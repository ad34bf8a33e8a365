import { d, tgpu } from "typegpu";
import source from "../../shaders/unary.wgsl" with { type: "text" };
import gradSource from "../../shaders/unary_grad.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import { checkDType } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { elementwiseLaunch } from "./elementwise.ts";

/** Operations of the unary kernels, in the order of their `operation` constant. */
export const unaryOperations = [
  "exp",
  "log",
  "sqrt",
  "rsqrt",
  "tanh",
  "neg",
  "abs",
  "square",
  "reciprocal",
  "sign",
] as const;
export type UnaryOperation = (typeof unaryOperations)[number];

const Params = d.struct({ count: d.u32 }).$name("Params");
const elements = d.arrayOf(d.vec4f);
export const unaryKernel = defineKernel({
  name: "unary",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: elements },
    y: { storage: elements, access: "mutable" },
  }),
});
export const unaryGradKernel = defineKernel({
  name: "unary_grad",
  source: gradSource,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    kept: { storage: elements },
    dy: { storage: elements },
    dx: { storage: elements, access: "mutable" },
  }),
});

/** e to the power x. @throws DTypeError unless x is f32 or f16 */
export function exp(x: Tensor): Tensor {
  return unary("exp", x, "y");
}

/** Natural logarithm, for x > 0 (WGSL leaves other arguments open). @throws DTypeError */
export function log(x: Tensor): Tensor {
  return unary("log", x, "x");
}

/** Square root, for x ≥ 0; its gradient needs x > 0. @throws DTypeError */
export function sqrt(x: Tensor): Tensor {
  return unary("sqrt", x, "y");
}

/** 1 / √x, for x > 0. @throws DTypeError */
export function rsqrt(x: Tensor): Tensor {
  return unary("rsqrt", x, "y");
}

/** Hyperbolic tangent. @throws DTypeError */
export function tanh(x: Tensor): Tensor {
  return unary("tanh", x, "y");
}

/** −x. @throws DTypeError */
export function neg(x: Tensor): Tensor {
  const y = launch("neg", x);
  return y.program.record(y, [x], (dy) => [neg(dy)]);
}

/** |x|; its gradient at 0 is 0. @throws DTypeError */
export function abs(x: Tensor): Tensor {
  return unary("abs", x, "x");
}

/** x². @throws DTypeError */
export function square(x: Tensor): Tensor {
  return unary("square", x, "x");
}

/** 1 / x, for x ≠ 0. @throws DTypeError */
export function reciprocal(x: Tensor): Tensor {
  return unary("reciprocal", x, "y");
}

/** −1, 0 or 1. No gradient: differentiating it throws a NoGradientError; `detach` it. @throws DTypeError */
export function sign(x: Tensor): Tensor {
  return launch("sign", x);
}

function launch(name: UnaryOperation, x: Tensor): Tensor {
  checkDType(name, "x", x, ["f32", "f16"]);
  const program = programOf(name, x);
  const y = program.empty(x.shape, x.dtype);
  const { count, workgroups, declarations } = elementwiseLaunch(x);
  const constants = { operation: unaryOperations.indexOf(name) };
  program.dispatch(unaryKernel, { count }, { x, y }, workgroups, {
    operation: name,
    constants,
    declarations,
    flops: x.size,
  });
  return y;
}

/** @param keep - the tensor in which the kernel's slope is written */
function unary(name: UnaryOperation, x: Tensor, keep: "x" | "y"): Tensor {
  const y = launch(name, x);
  return y.program.record(y, [x], (dy) => {
    const kept = keep === "x" ? x : y;
    const program = programOf(name, kept, dy);
    const dx = program.empty(x.shape, x.dtype);
    const { count, workgroups, declarations } = elementwiseLaunch(x);
    const constants = { operation: unaryOperations.indexOf(name) };
    program.dispatch(unaryGradKernel, { count }, { kept, dy, dx }, workgroups, {
      constants,
      declarations,
      flops: 3 * x.size,
    });
    return [dx];
  });
}
