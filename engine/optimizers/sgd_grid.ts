import { d, tgpu } from "typegpu";
import source from "../../shaders/sgd_grid.wgsl" with { type: "text" };
import { OptionError, ShapeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, checkRank, checkSameShape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { stridingGroups } from "../ops/elementwise.ts";

const Params = d.struct({ count: d.u32, perModel: d.u32, models: d.u32, momentum: d.f32 }).$name("Params");
const elements = d.arrayOf(d.vec4f);
export const sgdGridKernel = defineKernel({
  name: "sgd_grid",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    parameters: { storage: elements, access: "mutable" },
    gradients: { storage: elements },
    velocity: { storage: elements, access: "mutable" },
    rates: { storage: d.arrayOf(d.f32) },
  }),
});

/** Models of one shape, one behind the other. */
export interface SgdGridOperands {
  /** State, f32; its first part belongs to the first model. */
  readonly parameters: Tensor;
  /** As many. */
  readonly gradients: Tensor;
  /** State, as many; starts at 0. */
  readonly velocity: Tensor;
  /** Learning rate of each model, `[models]`. */
  readonly rates: Tensor;
  /** Usually 0.9. */
  readonly momentum: number;
}

/**
 * One step of gradient descent with momentum for a whole grid of learning rates, in place: `u ← momentum · u + g`, then
 * `p ← p - rate · u` with the rate of the model that p belongs to (the form of PyTorch's SGD, without dampening). Models may have
 * any size and rates any relation, unlike those of `sgd`, whose rates are factors of one and whose groups are whole blocks.
 *
 * @throws ShapeError, DTypeError; OptionError for a momentum outside 0 … 1
 */
export function sgdGrid(program: Program, operands: SgdGridOperands): void {
  const { parameters, gradients, velocity, rates, momentum } = operands;
  checkRank("sgdGrid", "rates", rates, 1);
  for (const [name, x] of Object.entries({ parameters, gradients, velocity, rates }))
    checkDType("sgdGrid", name, x, ["f32"]);
  for (const [name, x] of Object.entries({ gradients, velocity }))
    checkSameShape("sgdGrid", name, [x.size], [parameters.size]);
  const models = rates.size;
  const perModel = parameters.size / models;
  if (!Number.isInteger(perModel))
    throw new ShapeError(
      `sgdGrid: ${parameters.size} parameters are not ${models} models of one size; give as many rates as models`,
    );
  if (!(momentum >= 0 && momentum <= 1))
    throw new OptionError(`sgdGrid: momentum ${momentum} is outside 0 … 1; the usual value is 0.9`);
  const width = perModel % 4 === 0 ? 4 : 1;
  const count = parameters.size / width;
  program.dispatch(
    sgdGridKernel,
    { count, perModel: perModel / width, models, momentum },
    { parameters, gradients, velocity, rates },
    stridingGroups(count, program.device),
    { declarations: { Element: width === 4 ? "vec4f" : "f32" }, flops: 4 * parameters.size },
  );
}
