import { d, tgpu } from "typegpu";
import sameShapeSource from "../../shaders/binary.wgsl" with { type: "text" };
import broadcastSource from "../../shaders/binary_broadcast.wgsl" with { type: "text" };
import inPlaceSource from "../../shaders/binary_in_place.wgsl" with { type: "text" };
import scalarSource from "../../shaders/binary_scalar.wgsl" with { type: "text" };
import scalarInPlaceSource from "../../shaders/binary_scalar_in_place.wgsl" with { type: "text" };
import { DTypeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { integerBinary, isInteger } from "./binary_integer.ts";
import { broadcastLoop, broadcastShape, widenLoop } from "./broadcast.ts";
import { equal, less } from "./compare.ts";
import { elementTypes, elementwiseLaunch, stridingGroups } from "./elementwise.ts";
import { sumTo } from "./reduce.ts";
import { where } from "./where.ts";

/** Operations of the binary kernels, in the order of their `operation` constant. */
export const binaryOperations = ["add", "sub", "mul", "div", "maximum", "minimum", "pow"] as const;
export type BinaryOperation = (typeof binaryOperations)[number];

const Params = d.struct({ count: d.u32 }).$name("Params");
const elements = d.arrayOf(d.vec4f);
export const binaryKernel = defineKernel({
  name: "binary",
  source: sameShapeSource,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    a: { storage: elements },
    b: { storage: elements },
    y: { storage: elements, access: "mutable" },
  }),
});
export const binaryInPlaceKernel = defineKernel({
  name: "binary_in_place",
  source: inPlaceSource,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    b: { storage: elements },
    y: { storage: elements, access: "mutable" },
  }),
});

const ScalarParams = d.struct({ count: d.u32, scalar: d.f32 }).$name("Params");
export const binaryScalarKernel = defineKernel({
  name: "binary_scalar",
  source: scalarSource,
  params: ScalarParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: ScalarParams },
    x: { storage: elements },
    y: { storage: elements, access: "mutable" },
  }),
});
export const binaryScalarInPlaceKernel = defineKernel({
  name: "binary_scalar_in_place",
  source: scalarInPlaceSource,
  params: ScalarParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: ScalarParams },
    y: { storage: elements, access: "mutable" },
  }),
});

const BroadcastParams = d
  .struct({ count: d.u32, shape: d.vec4u, aStrides: d.vec4u, bStrides: d.vec4u })
  .$name("Params");
export const binaryBroadcastKernel = defineKernel({
  name: "binary_broadcast",
  source: broadcastSource,
  params: BroadcastParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: BroadcastParams },
    a: { storage: elements },
    b: { storage: elements },
    y: { storage: elements, access: "mutable" },
  }),
});

export type Operand = Tensor | number;

/**
 * a + b with numpy broadcasting; NaN passes, as does ∞ − ∞, which is NaN. Integers of one type are added modulo 2³², without a gradient, and so
 * for `sub`, `mul`, `maximum` and `minimum`.
 *
 * @throws ShapeError, DTypeError, RankError, ProgramMixError, DeviceMixError
 */
export function add(a: Operand, b: Operand): Tensor {
  return binary("add", a, b, (dy) => [() => dy, () => dy]);
}

/** a - b; broadcasting and errors as {@link add}. */
export function sub(a: Operand, b: Operand): Tensor {
  return binary("sub", a, b, (dy) => [() => dy, () => mul(dy, -1)]);
}

/** a · b; NaN passes, 0 · ∞ is NaN. Broadcasting and errors as {@link add}. */
export function mul(a: Operand, b: Operand): Tensor {
  return binary("mul", a, b, (dy) => [() => mul(dy, b), () => mul(dy, a)]);
}

/** a / b; NaN passes, a / 0 is ±∞, and NaN for a = 0. Broadcasting and errors as {@link add}. */
export function div(a: Operand, b: Operand): Tensor {
  // d(a / b) = da / b - (a / b) db / b
  return binary("div", a, b, (dy, y) => [() => div(dy, b), () => mul(div(mul(dy, y), b), -1)]);
}

/**
 * The larger of a and b, NaN if either is. As in PyTorch each receives half of the gradient where they are equal, and both the whole
 * of it where one is NaN. Errors as {@link add}.
 */
export function maximum(a: Operand, b: Operand): Tensor {
  return binary("maximum", a, b, (dy) => [() => winner(dy, a, b), () => winner(dy, b, a)]);
}

/**
 * The smaller of a and b, NaN if either is. As in PyTorch each receives half of the gradient where they are equal, and both the whole
 * of it where one is NaN. Errors as {@link add}.
 */
export function minimum(a: Operand, b: Operand): Tensor {
  return binary("minimum", a, b, (dy) => [() => winner(dy, b, a), () => winner(dy, a, b)]);
}

/** 0 where high < low, dy / 2 where they are equal, else dy: also where one is NaN, so that both receive it. */
function winner(dy: Tensor, high: Operand, low: Operand): Tensor {
  return where(less(high, low), 0, where(equal(high, low), mul(dy, 0.5), dy));
}

/** Gradients of both operands in the shape of the result, each recorded only where it is wanted. */
type Rule = (dy: Tensor, y: Tensor) => readonly [() => Tensor, () => Tensor];

/** Records one of the operations with its gradient. */
export function binary(name: BinaryOperation, a: Operand, b: Operand, rule: Rule): Tensor {
  if (isInteger(typeof a === "number" ? b : a)) return integerBinary(name, a, b);
  if (typeof a !== "number" && typeof b !== "number") return tensors(name, a, b, rule);
  const [x, scalar, reversed] = typeof a === "number" ? [b, a, true] : [a, b, false];
  if (typeof x === "number" || typeof scalar !== "number") {
    throw new DTypeError(`${name}: got two numbers, expected at least one tensor; compute numbers in plain code`);
  }
  checkDType(name, reversed ? "b" : "a", x, ["f32", "f16"]);
  const program = programOf(name, x);
  const y = program.empty(x.shape, x.dtype);
  const { count, workgroups, declarations } = elementwiseLaunch(x);
  program.dispatch(binaryScalarKernel, { count, scalar }, { x, y }, workgroups, {
    operation: name,
    constants: { operation: binaryOperations.indexOf(name), reversed: Number(reversed) },
    declarations,
    flops: x.size,
    inPlace: { kernel: binaryScalarInPlaceKernel, output: "y", operand: "x" },
  });
  return program.record(y, [x], (dy) => [rule(dy, y)[reversed ? 1 : 0]()]);
}

function tensors(name: BinaryOperation, a: Tensor, b: Tensor, rule: Rule): Tensor {
  checkDType(name, "a", a, ["f32", "f16"]);
  checkDType(name, "b", b, [a.dtype]);
  const program = programOf(name, a, b);
  const shape = broadcastShape(name, a.shape, b.shape);
  const y = program.empty(shape, a.dtype);
  const constants = { operation: binaryOperations.indexOf(name) };
  if (a.size === y.size && b.size === y.size) {
    const { count, workgroups, declarations } = elementwiseLaunch(y);
    const inPlace = { kernel: binaryInPlaceKernel, output: "y", operand: "a" };
    program.dispatch(binaryKernel, { count }, { a, b, y }, workgroups, {
      operation: name,
      constants,
      declarations,
      flops: y.size,
      inPlace,
    });
  } else broadcast(program, name, a, b, y);
  return program.record(y, [a, b], (dy, [needsA, needsB]) => {
    const [da, db] = rule(dy, y);
    return [needsA ? sumTo(da(), a.shape) : undefined, needsB ? sumTo(db(), b.shape) : undefined];
  });
}

function broadcast(program: Program, name: BinaryOperation, a: Tensor, b: Tensor, y: Tensor): void {
  const loop = widenLoop(broadcastLoop(name, y.shape, [a.shape, b.shape]), y.dtype === "f32"); // vec4f(f16) does not exist
  const { shape, strides, width, moves } = loop;
  const [aStrides = [], bStrides = []] = strides;
  const count = y.size / width;
  const { Element, Stored } = elementTypes(width === 4, y.dtype);
  const [StoredA, StoredB] = moves.map((moving) => (moving ? Stored : y.dtype));
  program.dispatch(
    binaryBroadcastKernel,
    { count, shape, aStrides, bStrides },
    { a, b, y },
    stridingGroups(count, program.device),
    {
      operation: name,
      constants: { operation: binaryOperations.indexOf(name) },
      declarations: { Element, StoredA: StoredA ?? Stored, StoredB: StoredB ?? Stored, StoredY: Stored },
      flops: y.size,
    },
  );
}
