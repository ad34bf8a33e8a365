import { d, tgpu } from "typegpu";
import source from "../../shaders/compare.wgsl" with { type: "text" };
import type { DType } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { broadcastLoop, broadcastShape } from "./broadcast.ts";
import { stridingGroups } from "./elementwise.ts";
import { full } from "./fill.ts";

/** Comparisons of the kernel, in the order of its `operation` constant. */
export const comparisons = ["equal", "notEqual", "less", "lessEqual", "greater", "greaterEqual"] as const;
export type Comparison = (typeof comparisons)[number];

const Params = d.struct({ count: d.u32, shape: d.vec4u, aStrides: d.vec4u, bStrides: d.vec4u }).$name("Params");
const layout = tgpu.bindGroupLayout({
  params: { uniform: Params },
  a: { storage: d.arrayOf(d.f32) },
  b: { storage: d.arrayOf(d.f32) },
  y: { storage: d.arrayOf(d.u32), access: "mutable" },
});
export const compareKernel = defineKernel({ name: "compare", source, params: Params, layout });

type Operand = Tensor | number;

/**
 * 1 where a = b, else 0, as u32; numpy broadcasting. NaN equals nothing and is neither less nor greater; ∞ equals ∞. No
 * gradient: differentiating it throws a NoGradientError; `detach` it.
 *
 * @throws ShapeError, DTypeError, ProgramMixError
 */
export function equal(a: Operand, b: Operand): Tensor {
  return compare("equal", a, b);
}

/** 1 where a ≠ b, else 0: NaN differs from all; as {@link equal}. */
export function notEqual(a: Operand, b: Operand): Tensor {
  return compare("notEqual", a, b);
}

/** 1 where a < b, else 0; as {@link equal}. */
export function less(a: Operand, b: Operand): Tensor {
  return compare("less", a, b);
}

/** 1 where a ≤ b, else 0; as {@link equal}. */
export function lessEqual(a: Operand, b: Operand): Tensor {
  return compare("lessEqual", a, b);
}

/** 1 where a > b, else 0; as {@link equal}. */
export function greater(a: Operand, b: Operand): Tensor {
  return compare("greater", a, b);
}

/** 1 where a ≥ b, else 0; as {@link equal}. */
export function greaterEqual(a: Operand, b: Operand): Tensor {
  return compare("greaterEqual", a, b);
}

/** 1 where x is NaN, else 0, as u32; no gradient, as {@link equal}. @throws DTypeError unless f32 or f16 */
export function isNan(x: Tensor): Tensor {
  checkDType("isNan", "x", x, ["f32", "f16"]);
  return compare("notEqual", x, x);
}

const comparable: readonly DType[] = ["f32", "f16", "u32", "i32"];

function compare(name: Comparison, left: Operand, right: Operand): Tensor {
  const tensor = [left, right].find((operand) => typeof operand !== "number");
  if (tensor === undefined || typeof tensor === "number") {
    throw new DTypeError(`${name}: got two numbers, expected at least one tensor; compare numbers in plain code`);
  }
  checkDType(name, "operand", tensor, comparable);
  const program = programOf(name, ...[left, right].filter((operand) => typeof operand !== "number"));
  const a = asTensor(program, left, tensor.dtype);
  const b = asTensor(program, right, tensor.dtype);
  checkDType(name, "b", b, [a.dtype]);
  const shape = broadcastShape(name, a.shape, b.shape);
  const y = program.empty(shape, "u32");
  const { shape: lengths, strides } = broadcastLoop(name, shape, [a.shape, b.shape]);
  const [aStrides = [], bStrides = []] = strides;
  program.dispatch(
    compareKernel,
    { count: y.size, shape: lengths, aStrides, bStrides },
    { a, b, y },
    stridingGroups(y.size, program.device),
    { operation: name, constants: { operation: comparisons.indexOf(name) }, declarations: { Stored: a.dtype } },
  );
  return y;
}

function asTensor(program: Program, operand: Operand, dtype: DType): Tensor {
  return typeof operand === "number" ? full(program, [], operand, dtype) : operand;
}
