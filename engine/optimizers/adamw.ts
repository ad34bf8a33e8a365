import { d, tgpu } from "typegpu";
import source from "../../shaders/adamw.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import type { Tensor } from "../core/tensor.ts";
import { gridOf } from "../ops/grid.ts";
import { checkStep, type GroupTables } from "./optimizer_checks.ts";
import { Step } from "./step_scalars.ts";

const Params = d.struct({ count: d.u32, groupCount: d.u32 }).$name("Params");
const state = { storage: d.arrayOf(d.vec4f), access: "mutable" } as const;
export const adamWKernel = defineKernel({
  name: "adamw",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    parameters: state,
    gradients: { storage: d.arrayOf(d.vec4f) },
    firstMoment: state,
    secondMoment: state,
    average: state,
    blockGroups: { storage: d.arrayOf(d.u32) },
    groups: { storage: d.arrayOf(d.vec2f) },
    scalars: { storage: Step },
  }),
});

/** Flat f32 tensors of one length, whole blocks of 64: chunks of arenas of one layout. All but the gradients are state. */
export interface AdamWOperands extends GroupTables {
  readonly parameters: Tensor;
  readonly gradients: Tensor;
  readonly firstMoment: Tensor;
  readonly secondMoment: Tensor;
  /** Moving average of the parameters, updated in the same pass. */
  readonly average?: Tensor;
}

/**
 * One step of Adam with decoupled weight decay (Loshchilov & Hutter 2019), in place: `p ← p (1 - lr·wd)`, then
 * `p ← p - lr · m̂ / (√v̂ + epsilon)`. Clipping, loss scaling and skipping enter through `scalars` (see `stepControl`).
 *
 * @throws ShapeError, DTypeError
 */
export function adamW(program: Program, operands: AdamWOperands): void {
  const { parameters, gradients, firstMoment, secondMoment, average, blockGroups, groups, scalars } = operands;
  const moments = { firstMoment, secondMoment };
  const arenas = { parameters, gradients, ...moments, ...(average ? { average } : {}) };
  const params = checkStep("adamW", arenas, operands);
  const unused = () => program.empty([4]); // the binding must exist, and must not be any other writable one
  program.dispatch(
    adamWKernel,
    params,
    { parameters, gradients, ...moments, average: average ?? unused(), blockGroups, groups, scalars },
    gridOf(program.device, params.count),
    { constants: { averages: average ? 1 : 0 }, flops: (average ? 16 : 13) * parameters.size },
  );
}
