import { d, tgpu } from "typegpu";
import source from "../../shaders/binary_integer.wgsl" with { type: "text" };
import type { DType } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { broadcastLoop, broadcastShape } from "./broadcast.ts";
import { stridingGroups } from "./elementwise.ts";
import { full } from "./fill.ts";

/** Operations of integers, in the order of the kernel's `operation` constant. */
const integerOperations: readonly string[] = ["add", "sub", "mul", "maximum", "minimum"];

const Params = d.struct({ count: d.u32, shape: d.vec4u, aStrides: d.vec4u, bStrides: d.vec4u }).$name("Params");
const words = d.arrayOf(d.u32);
export const binaryIntegerKernel = defineKernel({
  name: "binary_integer",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    a: { storage: words },
    b: { storage: words },
    y: { storage: words, access: "mutable" },
  }),
});

/** Whether an operand makes an operation one of integers. */
export function isInteger(operand: Tensor | number): boolean {
  return typeof operand !== "number" && (operand.dtype === "u32" || operand.dtype === "i32");
}

/**
 * Arithmetic of integers of one type, modulo 2³²; constants to differentiation. A number beside a tensor takes its type: modulo 2³², too,
 * but for `maximum` and `minimum`, whose results would be others.
 *
 * @throws DTypeError for operations without an integer form, OptionError for numbers that are not whole or do not fit
 */
export function integerBinary(name: string, a: Tensor | number, b: Tensor | number): Tensor {
  const given = [a, b].filter((operand) => typeof operand !== "number");
  const dtype = given[0]?.dtype ?? "u32";
  if (!integerOperations.includes(name))
    throw new DTypeError(`${name}: ${typeof a === "number" ? "b" : "a"} is ${dtype}, expected f32 or f16; use cast`);
  if (typeof b !== "number") checkDType(name, "b", b, [dtype]);
  const program = programOf(name, ...given);
  const orders = name === "maximum" || name === "minimum";
  const asTensor = (owner: Program, operand: Tensor | number): Tensor => {
    if (typeof operand !== "number") return operand;
    return full(owner, [], orders || !Number.isInteger(operand) ? operand : wrapped(operand, dtype), dtype);
  };
  const [left, right] = [asTensor(program, a), asTensor(program, b)];
  const shape = broadcastShape(name, left.shape, right.shape);
  const { shape: lengths, strides } = broadcastLoop(name, shape, [left.shape, right.shape]);
  const [aStrides = [], bStrides = []] = strides;
  const y = program.empty(shape, dtype);
  program.dispatch(
    binaryIntegerKernel,
    { count: y.size, shape: lengths, aStrides, bStrides },
    { a: left, b: right, y },
    stridingGroups(y.size, program.device),
    { operation: name, constants: { operation: integerOperations.indexOf(name) }, declarations: { Stored: dtype } },
  );
  return y;
}

/** Modulo 2³². */
function wrapped(value: number, dtype: DType): number {
  return dtype === "u32" ? value >>> 0 : value | 0;
}
