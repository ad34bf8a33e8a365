import { d, tgpu } from "typegpu";
import source from "../../shaders/moving_average.wgsl" with { type: "text" };
import { OptionError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, checkSameShape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { gridOf } from "../ops/grid.ts";

const Params = d.struct({ count: d.u32, factor: d.f32, oneMinusFactor: d.f32 }).$name("Params");
export const movingAverageKernel = defineKernel({
  name: "moving_average",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: d.arrayOf(d.f32) },
    average: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

export interface MovingAverageOperands {
  /** State that is written, f32. */
  readonly average: Tensor;
  /** The new values, f32 of the same size. */
  readonly x: Tensor;
  /** Share of the old average that stays, 0 … 1. */
  readonly factor: number;
}

/** `average ← factor · average + (1 - factor) · x`, in place. @throws ShapeError, DTypeError, OptionError */
export function movingAverage(program: Program, { average, x, factor }: MovingAverageOperands): void {
  checkDType("movingAverage", "average", average, ["f32"]);
  checkDType("movingAverage", "x", x, ["f32"]);
  checkSameShape("movingAverage", "x", [x.size], [average.size]);
  if (!(factor >= 0 && factor <= 1)) throw new OptionError(`movingAverage: factor is ${factor}, expected 0 … 1`);
  const [width, element] = x.size % 4 === 0 ? [4, "vec4f"] : [1, "f32"];
  const count = x.size / width;
  const params = { count, factor, oneMinusFactor: 1 - factor };
  const options = { declarations: { Element: element }, flops: 3 * x.size };
  program.dispatch(movingAverageKernel, params, { x, average }, gridOf(program.device, count), options);
}
