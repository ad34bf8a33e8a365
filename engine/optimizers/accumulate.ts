import { d, tgpu } from "typegpu";
import source from "../../shaders/accumulate.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, checkSameShape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { manyStridingGroups } from "../ops/elementwise.ts";

const Params = d.struct({ count: d.u32 }).$name("Params");
export const accumulateKernel = defineKernel({
  name: "accumulate",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: d.arrayOf(d.f32) },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

/** state ← state + x, such as a gradient summed over micro-batches; no gradient. @throws ShapeError, DTypeError */
export function accumulate(program: Program, state: Tensor, x: Tensor): void {
  checkDType("accumulate", "x", x, ["f32"]);
  checkSameShape("accumulate", "x", x.shape, state.shape);
  program.dispatch(accumulateKernel, { count: x.size }, { x, y: state }, manyStridingGroups(x.size, program.device), {
    flops: x.size,
  });
}
