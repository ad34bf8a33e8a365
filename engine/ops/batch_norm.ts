import { d, tgpu } from "typegpu";
import source from "../../shaders/batch_norm.wgsl" with { type: "text" };
import evaluationSource from "../../shaders/batch_norm_evaluation.wgsl" with { type: "text" };
import { OptionError, ShapeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, checkSameShape, matrixShape } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { batchNormGrad } from "./batch_norm_grad.ts";
import { defineVariants } from "./choose_variant.ts";
import {
  type ColumnProblem,
  type ColumnVariant,
  columnClass,
  columnDeviates,
  columnLaunch,
  columnOrder,
  columnVariants,
} from "./column_launch.ts";
import { full } from "./fill.ts";

const elements = d.arrayOf(d.vec4f);
const Params = d
  .struct({ rows: d.u32, columns: d.u32, epsilon: d.f32, momentum: d.f32, activates: d.u32 })
  .$name("Params");
export const batchNormKernel = defineKernel({
  name: "batch_norm",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: elements },
    weight: { storage: elements },
    bias: { storage: elements },
    y: { storage: elements, access: "mutable" },
    saved: { storage: elements, access: "mutable" },
    runningMean: { storage: elements, access: "mutable" },
    runningVariance: { storage: elements, access: "mutable" },
    batches: { storage: d.arrayOf(d.u32), access: "mutable" },
  }),
});
const EvaluationParams = d.struct({ rows: d.u32, columns: d.u32, epsilon: d.f32, activates: d.u32 }).$name("Params");
export const batchNormEvaluationKernel = defineKernel({
  name: "batch_norm_evaluation",
  source: evaluationSource,
  params: EvaluationParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: EvaluationParams },
    x: { storage: elements },
    weight: { storage: elements },
    bias: { storage: elements },
    runningMean: { storage: elements },
    runningVariance: { storage: elements },
    y: { storage: elements, access: "mutable" },
    saved: { storage: elements, access: "mutable" },
  }),
});

/** Running estimates: state that training moves and evaluation reads. */
export interface BatchNormStatistics {
  /** `[columns]`, starts at 0. */
  readonly mean: Tensor;
  /** Unbiased, `[columns]`, starts at 1. */
  readonly variance: Tensor;
  /** Number of batches seen, `[1]`, u32. */
  readonly batches: Tensor;
}

export interface BatchNormOptions {
  readonly statistics: BatchNormStatistics;
  /** Normalise with the batch and move the running estimates, or with the running estimates alone. */
  readonly mode: "training" | "evaluation";
  /** Scale per column, `[columns]`; 1 if left out. */
  readonly weight?: Tensor;
  /** Shift per column, `[columns]`; 0 if left out. */
  readonly bias?: Tensor;
  /** Added to the variance. Default 1e-5, as in PyTorch. */
  readonly epsilon?: number;
  /** Share of a batch in the running estimates. Default 0.1, as in PyTorch. */
  readonly momentum?: number;
  /** What follows in the same kernel. Default nothing. */
  readonly activation?: "gelu";
}

/**
 * Batch norm over the rows of a matrix (arXiv 1502.03167): (x − mean) / √(variance + epsilon) · weight + bias per column, then
 * GELU if asked for. Training normalises with the biased variance of the batch and moves `statistics` in place. A column
 * with NaN or an infinity becomes NaN in training, with its running estimates.
 *
 * @param x - `[rows, columns]`, f32
 * @throws ShapeError, also for training with a single row; DTypeError, OptionError, ProgramMixError
 */
export function batchNorm(x: Tensor, options: BatchNormOptions): Tensor {
  const { statistics, mode, epsilon = 1e-5, momentum = 0.1, activation } = options;
  const [rows, columns] = matrixShape("batchNorm", "x", x);
  checkDType("batchNorm", "x", x, ["f32"]);
  checkOptions(options, epsilon, momentum, columns);
  if (mode === "training" && rows < 2) {
    throw new ShapeError(
      "batchNorm: training needs at least 2 rows for a variance, got 1; use a larger batch or mode evaluation",
    );
  }
  const program = programOf("batchNorm", x, options.weight, options.bias);
  const weight = options.weight ?? full(program, [columns], 1);
  const bias = options.bias ?? full(program, [columns], 0);
  const variant = chooseBatchNorm(program.device, { rows, columns });
  const settings = { statistics, mode, weight, bias, epsilon, momentum, ...(activation ? { activation } : {}) };
  const { y, saved } = forward(program, variant, x, settings);
  return program.record(y, [x, options.weight, options.bias], (dy) => {
    const { dx, dWeight, dBias } = batchNormGrad(x, { saved, weight, bias, variant }, dy, settings);
    return [dx, dWeight, dBias];
  });
}

/** One choice for the value and its gradient: both walk down the columns. */
const chooseBatchNorm = defineVariants<ColumnProblem, ColumnVariant>({
  operation: "batch_norm",
  variants: columnVariants,
  order: columnOrder,
  deviates: columnDeviates,
  shapeClass: columnClass,
  example: (program, variant, { rows, columns }) => {
    const x = program.input("x", [rows, columns]);
    const [weight, bias] = [program.input("weight", [columns]), program.input("bias", [columns])];
    const statistics = batchNormStatistics(program.device, columns);
    for (const state of [statistics.mean, statistics.variance, statistics.batches]) program.own(state);
    const settings = { statistics, mode: "training", weight, bias, epsilon: 1e-5, momentum: 0.1 } as const;
    const { y, saved } = forward(program, variant, x, settings);
    const dy = program.input("dy", x.shape);
    const { dx, dWeight, dBias } = batchNormGrad(x, { saved, weight, bias, variant }, dy, settings);
    return [y, dx, dWeight, dBias];
  },
});

type Settings = Required<Omit<BatchNormOptions, "activation">> & Pick<BatchNormOptions, "activation">;

function forward(
  program: Program,
  variant: ColumnVariant,
  x: Tensor,
  { statistics, mode, weight, bias, epsilon, momentum, activation }: Settings,
): { readonly y: Tensor; readonly saved: Tensor } {
  const [rows, columns] = matrixShape("batchNorm", "x", x);
  const y = program.empty(x.shape);
  const saved = program.empty([2, columns]);
  const launch = columnLaunch(program.device, variant, columns);
  const settings = {
    declarations: launch.declarations,
    flops: (activation === "gelu" ? 45 : 10) * x.size,
  };
  const shape = { rows, columns: launch.count, epsilon, activates: Number(activation === "gelu") };
  const { mean: runningMean, variance: runningVariance, batches } = statistics;
  const operands = { x, weight, bias, y, saved, runningMean, runningVariance };
  if (mode === "training") {
    program.dispatch(batchNormKernel, { ...shape, momentum }, { ...operands, batches }, launch.workgroups, settings);
  } else program.dispatch(batchNormEvaluationKernel, shape, operands, launch.workgroups, settings);
  return { y, saved };
}

/** Fresh running estimates for `columns` columns: mean 0, variance 1, no batch seen. */
export function batchNormStatistics(
  device: Program["device"],
  columns: number,
  name = "batch norm",
): BatchNormStatistics {
  return {
    mean: device.zeros([columns], "f32", `${name} mean`),
    variance: device.tensor(new Float32Array(columns).fill(1), [columns], "f32", `${name} variance`),
    batches: device.zeros([1], "u32", `${name} batches`),
  };
}

function checkOptions(options: BatchNormOptions, epsilon: number, momentum: number, columns: number): void {
  const { statistics, weight, bias } = options;
  if (!(epsilon > 0)) throw new OptionError(`batchNorm: epsilon ${epsilon} is not positive; the usual value is 1e-5`);
  if (!(momentum >= 0 && momentum <= 1))
    throw new OptionError(`batchNorm: momentum ${momentum} is outside 0 … 1; the usual value is 0.1`);
  const vectors = { weight, bias, "running mean": statistics.mean, "running variance": statistics.variance };
  for (const [name, vector] of Object.entries(vectors)) {
    if (!vector) continue;
    checkDType("batchNorm", name, vector, ["f32"]);
    checkSameShape("batchNorm", name, vector.shape, [columns]);
  }
  checkDType("batchNorm", "batches", statistics.batches, ["u32"]);
  checkSameShape("batchNorm", "batches", statistics.batches.shape, [1]);
}
