import { d, tgpu } from "typegpu";
import source from "../../shaders/unary.wgsl" with { type: "text" };
import gradSource from "../../shaders/unary_grad.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import { checkDType } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { mul } from "./binary.ts";
import { elementwiseLaunch } from "./elementwise.ts";
import { full } from "./fill.ts";

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

/** e to the power x; NaN stays NaN, exp(-∞) is 0. @throws DTypeError unless x is f32 or f16 */
export function exp(x: Tensor): Tensor {
  return unary("exp", x, "y");
}

/**
 * Natural logarithm: -∞ of 0, NaN of negative numbers and NaN. Adapters may take numbers below 1.2e-38 for 0.
 *
 * @throws DTypeError
 */
export function log(x: Tensor): Tensor {
  return unary("log", x, "x");
}

/** Square root, NaN of negative numbers and NaN; its gradient at 0 is ∞. @throws DTypeError */
export function sqrt(x: Tensor): Tensor {
  return unary("sqrt", x, "y");
}

/** 1 / √x: ∞ of 0, 0 of ∞, NaN of negative numbers and NaN. @throws DTypeError */
export function rsqrt(x: Tensor): Tensor {
  return unary("rsqrt", x, "y");
}

/** Hyperbolic tangent; NaN stays NaN, ±∞ gives ±1. @throws DTypeError */
export function tanh(x: Tensor): Tensor {
  return unary("tanh", x, "y");
}

/** −x; NaN stays NaN. @throws DTypeError */
export function neg(x: Tensor): Tensor {
  const y = launch("neg", x);
  return y.program.record(y, [x], (dy) => [neg(dy)]);
}

/** |x|; NaN stays NaN. Its gradient at 0 is 0. @throws DTypeError */
export function abs(x: Tensor): Tensor {
  return unary("abs", x, "x");
}

/** x²; NaN stays NaN, ±∞ gives ∞. @throws DTypeError */
export function square(x: Tensor): Tensor {
  return unary("square", x, "x");
}

/** 1 / x: ±∞ of ±0, 0 of ±∞, NaN of NaN. @throws DTypeError */
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
function unary(name: CurvedOperation, x: Tensor, keep: "x" | "y"): Tensor {
  const y = launch(name, x);
  return y.program.record(y, [x], (dy) => [gradient(name, keep === "x" ? x : y, dy)]);
}

/** dx = dy slope(kept), which has a gradient of its own. */
function gradient(name: CurvedOperation, kept: Tensor, dy: Tensor): Tensor {
  const program = programOf(name, kept, dy);
  const dx = program.empty(kept.shape, kept.dtype);
  const { count, workgroups, declarations } = elementwiseLaunch(kept);
  const constants = { operation: unaryOperations.indexOf(name) };
  program.dispatch(unaryGradKernel, { count }, { kept, dy, dx }, workgroups, {
    operation: name,
    constants,
    declarations,
    flops: 3 * kept.size,
  });
  return program.record(dx, [kept, dy], (g, [needsKept, needsDy]) => [
    needsKept ? bent(name, kept, mul(g, dy)) : undefined,
    needsDy ? gradient(name, kept, g) : undefined,
  ]);
}

type CurvedOperation = Exclude<UnaryOperation, "neg" | "sign">;

/** Derivatives of the slopes that the kernel knows, with respect to the tensor in which they are written; none where flat. */
const bends: Readonly<Record<CurvedOperation, (kept: Tensor) => Tensor | number | undefined>> = {
  exp: () => 1,
  log: (x) => neg(square(reciprocal(x))),
  sqrt: (y) => mul(square(reciprocal(y)), -0.5),
  rsqrt: (y) => mul(square(y), -1.5),
  tanh: (y) => mul(y, -2),
  abs: () => undefined,
  square: () => 2,
  reciprocal: (y) => mul(y, -2),
};

function bent(name: CurvedOperation, kept: Tensor, by: Tensor): Tensor {
  const bend = bends[name](kept);
  return bend === undefined ? full(by.program, kept.shape, 0, kept.dtype) : mul(by, bend);
}
