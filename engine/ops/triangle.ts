import { d, tgpu } from "typegpu";
import source from "../../shaders/triangle.wgsl" with { type: "text" };
import { OptionError, RankError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import { checkDType, showShape } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { stridingGroups } from "./elementwise.ts";

const Params = d.struct({ count: d.u32, rows: d.u32, columns: d.u32, diagonal: d.i32 }).$name("Params");
export const triangleKernel = defineKernel({
  name: "triangle",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: d.arrayOf(d.f32) },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

/**
 * The lower triangle of the last two axes, 0 above it, whatever stood there.
 *
 * @param x - `[…, rows, columns]`, f32, f16, u32 or i32
 * @param diagonal - columns right of the main diagonal up to which elements stay; may be negative. Default 0
 * @throws RankError, DTypeError, OptionError
 */
export function tril(x: Tensor, diagonal = 0): Tensor {
  return triangle("tril", x, diagonal);
}

/** The upper triangle, from `diagonal` columns right of the main diagonal on; otherwise as {@link tril}. */
export function triu(x: Tensor, diagonal = 0): Tensor {
  return triangle("triu", x, diagonal);
}

function triangle(operation: "tril" | "triu", x: Tensor, diagonal: number): Tensor {
  const [rows, columns] = x.shape.slice(-2);
  if (rows === undefined || columns === undefined) {
    throw new RankError(
      `${operation}: x has shape ${showShape(x.shape)}, expected at least two axes; reshape it first`,
    );
  }
  checkDType(operation, "x", x, ["f32", "f16", "u32", "i32"]);
  if (!Number.isInteger(diagonal))
    throw new OptionError(`${operation}: diagonal ${diagonal} is no whole number; 0 is the main one`);
  const program = programOf(operation, x);
  const y = program.empty(x.shape, x.dtype);
  // Beyond the corners nothing changes any more, and i32 in the kernel would overflow.
  const params = { count: x.size, rows, columns, diagonal: Math.min(Math.max(diagonal, -rows), columns) };
  program.dispatch(triangleKernel, params, { x, y }, stridingGroups(x.size, program.device), {
    operation,
    constants: { upper: Number(operation === "triu") },
    declarations: { Stored: x.dtype },
  });
  return program.record(y, [x], (dy) => [triangle(operation, dy, diagonal)]);
}
