import { d, tgpu } from "typegpu";
import source from "../../shaders/dropout.wgsl" with { type: "text" };
import { OptionError } from "../core/errors.ts";
import { purposeNumber, seedWords } from "../core/host_random.ts";
import { defineKernel } from "../core/kernel.ts";
import { checkDType, checkSameShape } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { manyStridingGroups } from "./elementwise.ts";
import type { DeviceRandomKey } from "./random.ts";

const Params = d
  .struct({
    count: d.u32,
    purpose: d.u32,
    step: d.u32,
    stepIsTensor: d.u32,
    seed: d.vec2u,
    rate: d.f32,
    factor: d.f32,
  })
  .$name("Params");
export const dropoutKernel = defineKernel({
  name: "dropout",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    step: { storage: d.arrayOf(d.u32) },
    x: { storage: d.arrayOf(d.f32) },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

/**
 * Sets elements to 0 with a probability and scales the others up to keep the mean (arXiv 1207.0580). An element is kept where `uniform` of
 * the key is not below the rate; the backward pass draws the same numbers again, and no mask takes memory. NaN and infinities that are
 * dropped give NaN, as in PyTorch.
 *
 * @param x - f32 or f16
 * @param rate - probability to drop, 0 ≤ rate < 1; 0 gives `x` itself
 * @param key - give each layer a purpose of its own, and a tensor as step, so that every replay of a program draws anew
 * @throws OptionError, DTypeError, ShapeError
 */
export function dropout(x: Tensor, rate: number, key: DeviceRandomKey): Tensor {
  if (!(rate >= 0 && rate < 1))
    throw new OptionError(`dropout: rate ${rate} is outside 0 … 1 (1 excluded); 0 turns it off`);
  checkDType("dropout", "x", x, ["f32", "f16"]);
  if (rate === 0) return x;
  const { step = 0 } = key;
  const stepTensor = typeof step === "number" ? undefined : step;
  if (stepTensor) {
    checkDType("dropout", "step", stepTensor, ["u32"]);
    checkSameShape("dropout", "step", stepTensor.shape, [1]);
  }
  const program = programOf("dropout", x, stepTensor);
  const y = program.empty(x.shape, x.dtype);
  program.dispatch(
    dropoutKernel,
    {
      count: x.size,
      purpose: purposeNumber(key.purpose),
      step: typeof step === "number" ? step >>> 0 : 0,
      stepIsTensor: stepTensor ? 1 : 0,
      seed: seedWords(key.seed),
      rate,
      factor: 1 / (1 - rate),
    },
    { step: stepTensor ?? program.empty([1], "u32"), x, y },
    manyStridingGroups(Math.ceil(x.size / 4), program.device),
    { declarations: { Stored: x.dtype } },
  );
  // dx = dy · mask / (1 - rate), with the same mask.
  return program.record(y, [x], (dy) => [dropout(dy, rate, key)]);
}
