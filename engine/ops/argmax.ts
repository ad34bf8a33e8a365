import { d, tgpu } from "typegpu";
import source from "../../shaders/argmax.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import { checkDType, resolveAxis, sizeOf } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { manyStridingGroups } from "./elementwise.ts";

const Params = d.struct({ outputs: d.u32, length: d.u32, inner: d.u32 }).$name("Params");
const layout = tgpu.bindGroupLayout({
  params: { uniform: Params },
  x: { storage: d.arrayOf(d.f32) },
  y: { storage: d.arrayOf(d.u32), access: "mutable" },
});
export const argmaxKernel = defineKernel({ name: "argmax", source, params: Params, layout });

/**
 * Place of the largest element along an axis, the first one of equals; as in PyTorch NaN counts as larger than all, ∞ as any number.
 * No gradient: differentiating it throws a NoGradientError; `detach` it.
 *
 * @returns the shape of `x` without the axis, u32
 * @throws AxisError, DTypeError
 */
export function argmax(x: Tensor, axis = -1): Tensor {
  return place("argmax", x, axis);
}

/** Place of the smallest element along an axis, NaN counting as smaller than all; otherwise as {@link argmax}. */
export function argmin(x: Tensor, axis = -1): Tensor {
  return place("argmin", x, axis);
}

function place(operation: "argmax" | "argmin", x: Tensor, axis: number): Tensor {
  checkDType(operation, "x", x, ["f32"]);
  const at = resolveAxis(operation, axis, x.shape.length);
  const inner = sizeOf(x.shape.slice(at + 1));
  const length = x.shape[at] ?? 1;
  const { program } = x;
  const y = program.empty(x.shape.toSpliced(at, 1), "u32");
  program.dispatch(
    argmaxKernel,
    { outputs: y.size, length, inner },
    { x, y },
    manyStridingGroups(y.size, program.device),
    { operation, constants: { smallest: Number(operation === "argmin") } },
  );
  return y;
}
