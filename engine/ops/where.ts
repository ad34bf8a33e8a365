import { d, tgpu } from "typegpu";
import source from "../../shaders/where.wgsl" with { type: "text" };
import { DTypeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import { checkDType } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { broadcastLoop, broadcastShape } from "./broadcast.ts";
import { stridingGroups } from "./elementwise.ts";
import { full } from "./fill.ts";
import { sumTo } from "./reduce.ts";

const Params = d
  .struct({ count: d.u32, shape: d.vec4u, maskStrides: d.vec4u, aStrides: d.vec4u, bStrides: d.vec4u })
  .$name("Params");
const layout = tgpu.bindGroupLayout({
  params: { uniform: Params },
  mask: { storage: d.arrayOf(d.u32) },
  a: { storage: d.arrayOf(d.f32) },
  b: { storage: d.arrayOf(d.f32) },
  y: { storage: d.arrayOf(d.f32), access: "mutable" },
});
export const whereKernel = defineKernel({ name: "where_nonzero", source, params: Params, layout });

/**
 * Takes from `a` where the mask is not 0, else from `b`; numpy broadcasting over all three. NaN and infinities of the other operand
 * change nothing, also not the gradient.
 *
 * @param mask - u32, such as a comparison gives
 * @param a - tensor or number
 * @param b - tensor or number; one of the two is a tensor
 * @throws ShapeError, DTypeError, RankError, ProgramMixError, DeviceMixError
 */
export function where(mask: Tensor, a: Tensor | number, b: Tensor | number): Tensor {
  checkDType("where", "mask", mask, ["u32"]);
  const given = [a, b].filter((operand) => typeof operand !== "number");
  const dtype = given[0]?.dtype;
  if (dtype === undefined)
    throw new DTypeError("where: a and b are numbers, expected at least one tensor; use full for the other");
  for (const operand of given) checkDType("where", "a or b", operand, [dtype]);
  const program = programOf("where", mask, ...given);
  const left = typeof a === "number" ? full(program, [], a, dtype) : a;
  const right = typeof b === "number" ? full(program, [], b, dtype) : b;
  const shape = broadcastShape("where", mask.shape, left.shape, right.shape);
  const y = program.empty(shape, dtype);
  const { shape: lengths, strides } = broadcastLoop("where", shape, [mask.shape, left.shape, right.shape]);
  const [maskStrides = [], aStrides = [], bStrides = []] = strides;
  const params = { count: y.size, shape: lengths, maskStrides, aStrides, bStrides };
  program.dispatch(whereKernel, params, { mask, a: left, b: right, y }, stridingGroups(y.size, program.device), {
    declarations: { Stored: dtype },
  });
  return program.record(y, [undefined, left, right], (dy, [, needsA, needsB]) => [
    undefined,
    needsA ? sumTo(where(mask, dy, 0), left.shape) : undefined,
    needsB ? sumTo(where(mask, 0, dy), right.shape) : undefined,
  ]);
}
