import { d, tgpu } from "typegpu";
import source from "../../shaders/cast_into.wgsl" with { type: "text" };
import { ShapeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { gridOf } from "./grid.ts";

const Params = d.struct({ count: d.u32, first: d.u32 }).$name("Params");
export const castIntoKernel = defineKernel({
  name: "cast_into",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: d.arrayOf(d.vec4f) },
    y: { storage: d.arrayOf(d.vec4f), access: "mutable" },
  }),
});

/**
 * Records "elements of `target` from `first` on ← x", rounded to its type as `cast` does; no gradient. Unlike a view of the target,
 * the place may begin at any multiple of 4 elements.
 *
 * @param x - f32, a multiple of 4 elements
 * @param target - flat state, f32 or f16
 * @throws ShapeError, DTypeError; MissingFeatureError for f16 on a device without it
 */
export function castInto(program: Program, x: Tensor, target: Tensor, first: number): void {
  checkDType("castInto", "x", x, ["f32"]);
  checkDType("castInto", "target", target, ["f32", "f16"]);
  if (target.dtype === "f16") x.device.requireFeature("castInto", "shader-f16");
  if (x.size % 4 !== 0 || first % 4 !== 0 || first < 0 || first + x.size > target.size)
    throw new ShapeError(
      `castInto: ${x.size} elements from ${first} on do not fit a target of ${target.size}; expected multiples of 4 inside of it`,
    );
  const declarations = { Destination: `vec4<${target.dtype}>` };
  const params = { count: x.size / 4, first: first / 4 };
  program.dispatch(castIntoKernel, params, { x, y: target }, gridOf(program.device, params.count), { declarations });
}
