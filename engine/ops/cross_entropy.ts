import { d, tgpu } from "typegpu";
import source from "../../shaders/cross_entropy.wgsl" with { type: "text" };
import gradSource from "../../shaders/cross_entropy_grad.wgsl" with { type: "text" };
import workgroupSource from "../../shaders/cross_entropy_workgroup.wgsl" with { type: "text" };
import { type DType, integerRanges } from "../core/dtype.ts";
import { OptionError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, checkSameShape, matrixShape } from "../core/shape.ts";
import { detach, programOf, type Tensor } from "../core/tensor.ts";
import { add, div, mul } from "./binary.ts";
import { notEqual } from "./compare.ts";
import { stridingGroups } from "./elementwise.ts";
import { full } from "./fill.ts";
import { gather } from "./gather.ts";
import { mean } from "./mean.ts";
import { sum } from "./reduce.ts";
import { defineRowVariants, type RowVariant, rowGroups, rowWidth } from "./row_variant.ts";
import { softCrossEntropyPerRow } from "./soft_cross_entropy.ts";
import { where } from "./where.ts";

const Params = d.struct({ rows: d.u32, columns: d.u32, smoothing: d.f32, slot: d.u32 }).$name("Params");
const layoutOf = (element: typeof d.f32 | typeof d.vec4f) =>
  tgpu.bindGroupLayout({
    params: { uniform: Params },
    logits: { storage: d.arrayOf(element) },
    targets: { storage: d.arrayOf(d.u32) },
    losses: { storage: d.arrayOf(d.f32), access: "mutable" },
    logSum: { storage: d.arrayOf(d.vec2f), access: "mutable" },
    flags: { storage: d.arrayOf(d.atomic(d.u32)), access: "mutable" },
  });
/** By variant: a thread or a workgroup per row. */
export const crossEntropyKernels = {
  invocation: defineKernel({ name: "cross_entropy", source, params: Params, layout: layoutOf(d.vec4f) }),
  workgroup: defineKernel({
    name: "cross_entropy_workgroup",
    source: workgroupSource,
    params: Params,
    layout: layoutOf(d.f32),
  }),
};
const GradParams = d.struct({ count: d.u32, columns: d.u32, smoothing: d.f32 }).$name("Params");
export const crossEntropyGradKernel = defineKernel({
  name: "cross_entropy_grad",
  source: gradSource,
  params: GradParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: GradParams },
    logits: { storage: d.arrayOf(d.f32) },
    targets: { storage: d.arrayOf(d.u32) },
    logSum: { storage: d.arrayOf(d.vec2f) },
    dLosses: { storage: d.arrayOf(d.f32) },
    dLogits: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

export interface CrossEntropyOptions {
  /** Share of the target that is spread evenly over all classes (arXiv 1512.00567, section 7). 0 … 1, default 0. */
  readonly labelSmoothing?: number;
  /** `[classes]`, f32: factor of the losses of each class; the mean is weighted with them. Not with label smoothing. */
  readonly classWeights?: Tensor | undefined;
  /**
   * Rows with this number as their target have no part in the mean and no gradient, such as unlabelled pixels. NaN and infinities in
   * them change the loss of no other row; their own gradient is NaN, as in PyTorch.
   */
  readonly ignoredLabel?: number | undefined;
}

/**
 * Mean soft-max cross-entropy over rows. As in PyTorch a logit of -∞ has no part in the sum (the loss is ∞ if it is the
 * target's, or with label smoothing), a row of -∞ alone, or with NaN or ∞, gives NaN, and so does a mean of ignored rows alone.
 *
 * @param logits - `[rows, classes]`, f32
 * @param targets - class of each row, `[rows]`, u32, with an ignored label also i32; one outside the classes is clamped and reported by the
 *   next read. Or probabilities, `[rows, classes]`, f32, as constants; their mean is over rows, whatever the weights
 * @returns a scalar
 * @throws ShapeError, DTypeError, OptionError; IndexError when the result is read
 */
export function crossEntropy(logits: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { losses, weights } = weightedLosses(logits, targets, options);
  return weights ? div(sum(losses), sum(weights)) : mean(losses);
}

/** The loss of each row, `[rows]`, with its weight and 0 for ignored rows; otherwise as {@link crossEntropy}. */
export function crossEntropyPerRow(logits: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): Tensor {
  return weightedLosses(logits, targets, options).losses;
}

interface WeightedLosses {
  readonly losses: Tensor;
  /** What a mean divides by the sum of; the number of rows if left out. */
  readonly weights?: Tensor;
}

function weightedLosses(logits: Tensor, targets: Tensor, options: CrossEntropyOptions): WeightedLosses {
  const { labelSmoothing: smoothing = 0, classWeights, ignoredLabel } = options;
  const [rows, columns] = matrixShape("crossEntropy", "logits", logits);
  checkDType("crossEntropy", "logits", logits, ["f32"]);
  if (!(smoothing >= 0 && smoothing <= 1)) {
    throw new OptionError(`crossEntropy: labelSmoothing ${smoothing} is outside 0 … 1; a usual value is 0.1`);
  }
  if (classWeights) {
    checkDType("crossEntropy", "classWeights", classWeights, ["f32"]);
    checkSameShape("crossEntropy", "classWeights", classWeights.shape, [columns]);
    if (smoothing > 0)
      throw new OptionError("crossEntropy: classWeights and labelSmoothing do not go together; give smoothed targets");
  }
  const factors = classWeights && detach(classWeights);
  if (targets.dtype === "f32" && targets.shape.length === 2)
    return { losses: ofProbabilities(logits, targets, smoothing, factors, ignoredLabel) };
  checkDType("crossEntropy", "targets", targets, ignoredLabel === undefined ? ["u32"] : ["u32", "i32"]);
  checkSameShape("crossEntropy", "targets", targets.shape, [rows]);
  if (ignoredLabel === undefined) {
    const losses = ofLabels(logits, targets, smoothing);
    if (!factors) return { losses };
    const weights = gather(factors, targets);
    return { losses: mul(losses, weights), weights };
  }
  checkIgnoredLabel(targets.dtype, ignoredLabel);
  const counts = notEqual(targets, ignoredLabel);
  // Not cast to u32: negative labels would become 0, which is a class; the kernels report their bits.
  const labels = where(counts, targets, 0);
  const losses = ofLabels(logits, labels, smoothing);
  const weighted = factors ? mul(losses, gather(factors, labels)) : losses;
  const weights = where(counts, factors ? gather(factors, labels) : full(losses.program, [1], 1), 0);
  return { losses: where(counts, weighted, 0), weights };
}

function checkIgnoredLabel(dtype: DType, ignoredLabel: number): void {
  const [low, high] = integerRanges[dtype] ?? [0, 0];
  if (!Number.isInteger(ignoredLabel) || ignoredLabel < low || ignoredLabel > high) {
    throw new OptionError(
      `crossEntropy: ignoredLabel ${ignoredLabel} is none that targets of ${dtype} hold, expected a whole number in ${low} … ${high}; negative ones need targets of i32`,
    );
  }
}

function ofProbabilities(
  logits: Tensor,
  targets: Tensor,
  smoothing: number,
  factors: Tensor | undefined,
  ignoredLabel: number | undefined,
): Tensor {
  if (ignoredLabel !== undefined)
    throw new OptionError(
      "crossEntropy: an ignoredLabel needs labels, and the targets are probabilities; give rows of 0",
    );
  checkSameShape("crossEntropy", "targets", targets.shape, logits.shape);
  const classes = logits.shape[1] ?? 1;
  const smoothed = smoothing > 0 ? add(mul(targets, 1 - smoothing), smoothing / classes) : targets;
  return softCrossEntropyPerRow(logits, factors ? mul(smoothed, factors) : smoothed);
}

function ofLabels(logits: Tensor, targets: Tensor, smoothing: number): Tensor {
  const [rows, columns] = matrixShape("crossEntropy", "logits", logits);
  const program = programOf("crossEntropy", logits, targets);
  const variant = chooseCrossEntropy(program.device, { rows, columns, dtype: "f32" });
  const { losses, logSum } = launch(program, variant, logits, targets, smoothing);
  return program.record(losses, [logits], (dLosses) => {
    const owner = programOf("crossEntropy", logits, targets, logSum, dLosses);
    const dLogits = owner.empty(logits.shape);
    owner.dispatch(
      crossEntropyGradKernel,
      { count: logits.size, columns, smoothing },
      { logits, targets, logSum, dLosses, dLogits },
      stridingGroups(logits.size, owner.device),
      { operation: "crossEntropy", flops: 5 * logits.size },
    );
    return [dLogits];
  });
}

const chooseCrossEntropy = defineRowVariants("cross_entropy", (program, variant, { rows, columns }) => {
  const [logits, targets] = [program.input("logits", [rows, columns]), program.input("targets", [rows], "u32")];
  const { losses, logSum } = launch(program, variant, logits, targets, 0);
  return [losses, logSum];
});

function launch(
  program: Program,
  variant: RowVariant,
  logits: Tensor,
  targets: Tensor,
  smoothing: number,
): { readonly losses: Tensor; readonly logSum: Tensor } {
  const [rows, columns] = matrixShape("crossEntropy", "logits", logits);
  const losses = program.empty([rows]);
  const logSum = program.empty([rows, 2]); // the largest logit and the rest: their sum would round the rest away
  const { tensor: flags, slot } = program.flag(`crossEntropy (${columns} classes)`);
  const width = rowWidth(variant, columns);
  const declarations = { Element: width === 4 ? "vec4f" : "f32", width: `${width}u` };
  program.dispatch(
    crossEntropyKernels[variant],
    { rows, columns, smoothing, slot },
    { logits, targets, losses, logSum, flags },
    rowGroups(variant, rows, program.device),
    { ...(variant === "invocation" ? { declarations } : {}), flops: 6 * logits.size },
  );
  return { losses, logSum };
}
