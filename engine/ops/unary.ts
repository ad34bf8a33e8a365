import { d, tgpu } from "typegpu";
import source from "../../shaders/unary.wgsl" with { type: "text" };
import gradSource from "../../shaders/unary_grad.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import { checkDType } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { add, mul, sub } from "./binary.ts";
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
  "relu",
  "sigmoid",
  "silu",
  "softplus",
  "sin",
  "cos",
  "floor",
  "ceil",
  "round",
  "erf",
  "log1p",
  "expm1",
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

/** max(x, 0); NaN stays NaN. Its gradient at 0 is 0. @throws DTypeError */
export function relu(x: Tensor): Tensor {
  return unary("relu", x, "y");
}

/** 1 / (1 + e⁻ˣ): 0 of -∞, 1 of ∞; NaN stays NaN. @throws DTypeError */
export function sigmoid(x: Tensor): Tensor {
  return unary("sigmoid", x, "y");
}

/** x / (1 + e⁻ˣ), also called swish (arXiv 1702.03118); NaN stays NaN, -∞ gives NaN as in PyTorch. @throws DTypeError */
export function silu(x: Tensor): Tensor {
  return unary("silu", x, "x");
}

/** ln(1 + eˣ), without overflow; NaN stays NaN, ∞ gives ∞, -∞ gives 0. @throws DTypeError */
export function softplus(x: Tensor): Tensor {
  return unary("softplus", x, "x");
}

/** Sine, within 2e-7 for |x| ≤ 8192; the error grows with |x| beyond, the result stays within ±1. NaN of NaN and ±∞. @throws DTypeError */
export function sin(x: Tensor): Tensor {
  return unary("sin", x, "x");
}

/** Cosine; otherwise as {@link sin}. */
export function cos(x: Tensor): Tensor {
  return unary("cos", x, "x");
}

/** The largest whole number that is not above x; NaN stays NaN. No gradient, as {@link sign}. @throws DTypeError */
export function floor(x: Tensor): Tensor {
  return launch("floor", x);
}

/** The smallest whole number that is not below x; NaN stays NaN. No gradient, as {@link sign}. @throws DTypeError */
export function ceil(x: Tensor): Tensor {
  return launch("ceil", x);
}

/** The nearest whole number, halves to the even one; NaN stays NaN. No gradient, as {@link sign}. @throws DTypeError */
export function round(x: Tensor): Tensor {
  return launch("round", x);
}

/** The error function, within 8e-8; NaN stays NaN, ±∞ gives ±1. @throws DTypeError */
export function erf(x: Tensor): Tensor {
  return unary("erf", x, "x");
}

/** ln(1 + x), also for small x: -∞ of -1, NaN below and of NaN. @throws DTypeError */
export function log1p(x: Tensor): Tensor {
  return unary("log1p", x, "x");
}

/** eˣ - 1, also for small x: -1 of -∞; NaN stays NaN. @throws DTypeError */
export function expm1(x: Tensor): Tensor {
  return unary("expm1", x, "y");
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

type CurvedOperation = Exclude<UnaryOperation, "neg" | "sign" | "floor" | "ceil" | "round">;

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
  relu: () => undefined,
  sigmoid: (y) => sub(1, mul(y, 2)),
  // s (1 - s) (2 + x (1 - 2 s))
  silu: (x) => {
    const s = sigmoid(x);
    return mul(mul(s, sub(1, s)), add(mul(x, sub(1, mul(s, 2))), 2));
  },
  softplus: (x) => {
    const s = sigmoid(x);
    return mul(s, sub(1, s));
  },
  sin: (x) => neg(sin(x)),
  cos: (x) => neg(cos(x)),
  erf: (x) => mul(mul(x, -4 / Math.sqrt(Math.PI)), exp(neg(square(x)))),
  log1p: (x) => neg(square(reciprocal(add(x, 1)))),
  expm1: () => 1,
};

function bent(name: CurvedOperation, kept: Tensor, by: Tensor): Tensor {
  const bend = bends[name](kept);
  return bend === undefined ? full(by.program, kept.shape, 0, kept.dtype) : mul(by, bend);
}
