import { d, tgpu } from "typegpu";
import source from "../../shaders/step_control.wgsl" with { type: "text" };
import { OptionError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, checkSameShape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { GradientNorm } from "./gradient_norm.ts";
import { lossScaleLength } from "./loss_scale.ts";
import { Step, stepScalarCount } from "./step_scalars.ts";

const Params = d.struct({ maxNorm: d.f32, growthInterval: d.u32 }).$name("Params");
export const stepControlKernel = defineKernel({
  name: "step_control",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    scalars: { storage: Step },
    norm: { storage: d.arrayOf(d.f32) },
    nonFinite: { storage: d.arrayOf(d.u32) },
    lossScale: { storage: d.arrayOf(d.f32), access: "mutable" },
    control: { storage: Step, access: "mutable" },
  }),
});

export interface StepControlOptions extends GradientNorm {
  /** See `stepScalars`, f32 `[12]`. */
  readonly scalars: Tensor;
  /** Largest norm of the (unscaled) gradients; longer ones are shortened to it. Default: no clipping. */
  readonly maxNorm?: number;
  /**
   * State `[5]`, see `lossScaleValues`: the factor that the loss was multiplied with, and counts. Gradients are divided by the
   * factor, which is then halved after non-finite gradients and doubled after 2000 good steps in a row (the constants of
   * PyTorch's gradient scaler). Bias corrections count the steps that were not skipped, whatever `scalars` says.
   */
  readonly lossScale?: Tensor;
}

const growthInterval = 2000;

/**
 * Decides on the device how a step is applied: clipped, unscaled, or skipped where a gradient is not finite. A skipped
 * step leaves parameters, moments and average as they are, bit by bit.
 *
 * @returns scalars for `adamW` or `sgd`, f32 `[12]`
 * @throws ShapeError, DTypeError, OptionError
 */
export function stepControl(program: Program, options: StepControlOptions): Tensor {
  const { scalars, norm, nonFinite, maxNorm, lossScale } = options;
  checkDType("stepControl", "scalars", scalars, ["f32"]);
  checkSameShape("stepControl", "scalars", scalars.shape, [stepScalarCount]);
  if (lossScale) checkSameShape("stepControl", "lossScale", lossScale.shape, [lossScaleLength]);
  if (maxNorm !== undefined && !(maxNorm > 0)) {
    throw new OptionError(`stepControl: maxNorm is ${maxNorm}, expected more than 0; leave it out for no clipping`);
  }
  const control = program.empty([stepScalarCount]);
  program.dispatch(
    stepControlKernel,
    { maxNorm: maxNorm ?? 0, growthInterval },
    { scalars, norm, nonFinite, lossScale: lossScale ?? program.empty([lossScaleLength]), control },
    [1],
    { constants: { scalesLoss: lossScale ? 1 : 0 } },
  );
  return control;
}
