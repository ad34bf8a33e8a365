import { d, tgpu } from "typegpu";
import source from "../../shaders/soft_cross_entropy.wgsl" with { type: "text" };
import gradSource from "../../shaders/soft_cross_entropy_grad.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import { checkDType, checkSameShape, matrixShape } from "../core/shape.ts";
import { detach, programOf, type Tensor } from "../core/tensor.ts";
import { stridingGroups } from "./elementwise.ts";
import { stridingGrid } from "./grid.ts";

const Params = d.struct({ rows: d.u32, columns: d.u32 }).$name("Params");
export const softCrossEntropyKernel = defineKernel({
  name: "soft_cross_entropy",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    logits: { storage: d.arrayOf(d.f32) },
    targets: { storage: d.arrayOf(d.f32) },
    losses: { storage: d.arrayOf(d.f32), access: "mutable" },
    sums: { storage: d.arrayOf(d.vec4f), access: "mutable" },
  }),
});
const GradParams = d.struct({ count: d.u32, columns: d.u32 }).$name("Params");
export const softCrossEntropyGradKernel = defineKernel({
  name: "soft_cross_entropy_grad",
  source: gradSource,
  params: GradParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: GradParams },
    logits: { storage: d.arrayOf(d.f32) },
    targets: { storage: d.arrayOf(d.f32) },
    sums: { storage: d.arrayOf(d.vec4f) },
    dLosses: { storage: d.arrayOf(d.f32) },
    dLogits: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

/**
 * Soft-max cross-entropy of each row against weights of the classes, `-Σ targets · log softmax(logits)`, for smoothed and mixed
 * targets (arXiv 1710.09412, eq. 1). As in PyTorch a logit of -∞ gives NaN, since its class is wanted with a weight of 0 or more.
 *
 * @param logits - `[rows, classes]`, f32
 * @param targets - `[rows, classes]`, f32, taken as constants: no gradient flows into them. A row need not sum to 1
 * @returns the loss of each row, `[rows]`
 * @throws ShapeError, DTypeError
 */
export function softCrossEntropyPerRow(logits: Tensor, targets: Tensor): Tensor {
  const [rows, columns] = matrixShape("softCrossEntropy", "logits", logits);
  checkDType("softCrossEntropy", "logits", logits, ["f32"]);
  checkDType("softCrossEntropy", "targets", targets, ["f32"]);
  checkSameShape("softCrossEntropy", "targets", targets.shape, logits.shape);
  const wanted = detach(targets);
  const program = programOf("softCrossEntropy", logits, wanted);
  const losses = program.empty([rows]);
  const sums = program.empty([rows, 4]); // largest logit, log of the rest, sum of the targets, unused
  program.dispatch(
    softCrossEntropyKernel,
    { rows, columns },
    { logits, targets: wanted, losses, sums },
    stridingGrid(program.device, rows),
    { flops: 6 * logits.size },
  );
  return program.record(losses, [logits], (dLosses) => {
    const owner = programOf("softCrossEntropy", logits, wanted, sums, dLosses);
    const dLogits = owner.empty(logits.shape);
    owner.dispatch(
      softCrossEntropyGradKernel,
      { count: logits.size, columns },
      { logits, targets: wanted, sums, dLosses, dLogits },
      stridingGroups(logits.size, owner.device),
      { operation: "softCrossEntropy", flops: 6 * logits.size },
    );
    return [dLogits];
  });
}
