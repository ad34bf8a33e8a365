import { d, tgpu } from "typegpu";
import source from "../../shaders/sgd.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import type { Tensor } from "../core/tensor.ts";
import { gridOf } from "../ops/grid.ts";
import { checkStep, type GroupTables } from "./optimizer_checks.ts";
import { Step } from "./step_scalars.ts";

const Params = d.struct({ count: d.u32, groupCount: d.u32 }).$name("Params");
const state = { storage: d.arrayOf(d.vec4f), access: "mutable" } as const;
export const sgdKernel = defineKernel({
  name: "sgd",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    parameters: state,
    gradients: { storage: d.arrayOf(d.vec4f) },
    velocity: state,
    blockGroups: { storage: d.arrayOf(d.u32) },
    groups: { storage: d.arrayOf(d.vec2f) },
    scalars: { storage: Step },
  }),
});

/** Flat f32 tensors of one length, whole blocks of 64. All but the gradients are state. */
export interface SgdOperands extends GroupTables {
  readonly parameters: Tensor;
  readonly gradients: Tensor;
  readonly velocity: Tensor;
}

/**
 * One step of gradient descent with momentum, in place: `u ← beta1 · u + g + wd · p`, then `p ← p - lr · u` (the form of
 * PyTorch's SGD, without dampening). A learning rate per group trains a whole grid of them in one pass.
 *
 * @throws ShapeError, DTypeError
 */
export function sgd(program: Program, operands: SgdOperands): void {
  const { parameters, gradients, velocity, blockGroups, groups, scalars } = operands;
  const params = checkStep("sgd", { parameters, gradients, velocity }, operands);
  const bound = { parameters, gradients, velocity, blockGroups, groups, scalars };
  program.dispatch(sgdKernel, params, bound, gridOf(program.device, params.count), { flops: 7 * parameters.size });
}
