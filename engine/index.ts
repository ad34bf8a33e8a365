export { Arena, type ArenaEntry, arenaBlockElements } from "./core/arena.ts";
export type { DeviceInfo } from "./core/device_parts.ts";
export type { DType, HostArray } from "./core/dtype.ts";
export * from "./core/errors.ts";
export { checkpoint } from "./core/gradient_checkpointing.ts";
export { hostBits, hostNormal, hostPermutation, hostUniform, philox, type RandomKey } from "./core/host_random.ts";
export { defineKernel, type Kernel, type KernelFeature, shaderText } from "./core/kernel.ts";
export type { NestedNumbers } from "./core/nested_numbers.ts";
export { Program } from "./core/program.ts";
export type { GradientRule, PendingGradients, SeededOutput } from "./core/recording.ts";
export type { DispatchOptions, ProgramOptions } from "./core/recording_options.ts";
export {
  checkDType,
  checkRank,
  checkSameShape,
  checkShape,
  matrixShape,
  resolveAxis,
  rowsAndColumns,
  type Shape,
  showShape,
  sizeOf,
} from "./core/shape.ts";
export { detach, emptyLike, programOf, reshape, Tensor } from "./core/tensor.ts";
export * from "./files/index.ts";
export { argmax, argmin } from "./ops/argmax.ts";
export { assembleTokens } from "./ops/assemble_tokens.ts";
export { attention } from "./ops/attention.ts";
export type { AttentionOptions, AttentionSegment } from "./ops/attention_shape.ts";
export { type BatchNormOptions, type BatchNormStatistics, batchNorm } from "./ops/batch_norm.ts";
export { add, div, maximum, minimum, mul, sub } from "./ops/binary.ts";
export { cast, widened } from "./ops/cast.ts";
export { castInto } from "./ops/cast_into.ts";
export { clamp } from "./ops/clamp.ts";
export { equal, greater, greaterEqual, isNan, less, lessEqual, notEqual } from "./ops/compare.ts";
export { concat } from "./ops/concat.ts";
export { type Conv1dOptions, conv1d, conv2d } from "./ops/conv.ts";
export type { ConvOptions } from "./ops/conv_shape.ts";
export { countNonFinite } from "./ops/count_non_finite.ts";
export { type CrossAttentionOptions, crossAttention } from "./ops/cross_attention.ts";
export { type CrossEntropyOptions, crossEntropy, crossEntropyPerRow } from "./ops/cross_entropy.ts";
export { type CumsumOptions, cumsum } from "./ops/cumsum.ts";
export { dropPath } from "./ops/drop_path.ts";
export { dropout } from "./ops/dropout.ts";
export { einsum } from "./ops/einsum.ts";
export { fillState, full } from "./ops/fill.ts";
export { flip, roll } from "./ops/flip.ts";
export { gather, scatterAdd } from "./ops/gather.ts";
export { gatherAlong, scatterAddAlong, scatterAlong } from "./ops/gather_along.ts";
export { gelu } from "./ops/gelu.ts";
export { groupNorm } from "./ops/group_norm.ts";
export { l2Normalize } from "./ops/l2_normalize.ts";
export { type LayerNormOptions, layerNorm } from "./ops/layer_norm.ts";
export { type LinearOptions, linear } from "./ops/linear.ts";
export {
  type BinaryCrossEntropyOptions,
  binaryCrossEntropy,
  type HuberOptions,
  huberLoss,
  klDivergence,
  meanAbsoluteError,
} from "./ops/losses.ts";
export { type MatmulOptions, matmul } from "./ops/matmul.ts";
export { max, min } from "./ops/max.ts";
export { mean } from "./ops/mean.ts";
export { meanSquareError } from "./ops/mean_square_error.ts";
export { type Nearest, type NearestOptions, nearest } from "./ops/nearest.ts";
export { type NormLinearOptions, type NormParameters, normLinear } from "./ops/norm_linear.ts";
export { pad } from "./ops/pad.ts";
export { type PatchOptions, patchify, unpatchify } from "./ops/patchify.ts";
export { permute, transpose } from "./ops/permute.ts";
export { averagePool2d, maxPool2d, type PoolOptions } from "./ops/pool.ts";
export { pow } from "./ops/pow.ts";
export { prod } from "./ops/prod.ts";
export { type DeviceRandomKey, normal, permutation, randomBits, uniform } from "./ops/random.ts";
export { expand, type ReduceOptions, sum } from "./ops/reduce.ts";
export { type ResizeOptions, resizeGrid } from "./ops/resize_grid.ts";
export { rmsNorm } from "./ops/rms_norm.ts";
export { rows } from "./ops/rows.ts";
export { type SampleFactors, scaledSum } from "./ops/scaled_sum.ts";
export { slice } from "./ops/slice.ts";
export { softCrossEntropyPerRow } from "./ops/soft_cross_entropy.ts";
export { softmax } from "./ops/softmax.ts";
export { type Sorted, type SortOptions, sort, type TopKOptions, topK } from "./ops/sort.ts";
export { split, stack } from "./ops/split.ts";
export { hostTensorHash, tensorHashes } from "./ops/tensor_hash.ts";
export { tril, triu } from "./ops/triangle.ts";
export {
  abs,
  ceil,
  cos,
  erf,
  exp,
  expm1,
  floor,
  log,
  log1p,
  neg,
  reciprocal,
  relu,
  round,
  rsqrt,
  sigmoid,
  sign,
  silu,
  sin,
  softplus,
  sqrt,
  square,
  tanh,
} from "./ops/unary.ts";
export { standardDeviation, type VarianceOptions, variance } from "./ops/variance.ts";
export { where } from "./ops/where.ts";
export { accumulate } from "./optimizers/accumulate.ts";
export { type AdamWOperands, adamW } from "./optimizers/adamw.ts";
export { type GradientNorm, gradientNorm } from "./optimizers/gradient_norm.ts";
export {
  initialLossScale,
  type LossScale,
  type LossScaleOptions,
  lossScaleLength,
  lossScaleValues,
  readLossScale,
} from "./optimizers/loss_scale.ts";
export { movingAverage } from "./optimizers/moving_average.ts";
export { sgd } from "./optimizers/sgd.ts";
export { type SgdGridOperands, sgdGrid } from "./optimizers/sgd_grid.ts";
export { type StepControlOptions, stepControl } from "./optimizers/step_control.ts";
export { type StepOptions, stepScalarCount, stepScalars } from "./optimizers/step_scalars.ts";
export type { ProgramStats } from "./plan/program_stats.ts";
export { Device, type DeviceOptions } from "./run/device.ts";
export type { ExportOptions } from "./run/export_program.ts";
export { openDevice } from "./run/open_device.ts";
export { PlanningDevice, type PlanningLimits } from "./run/planning_device.ts";
export { programDigest } from "./run/program_digest.ts";
export {
  type KernelTime,
  type Outputs,
  type Readback,
  RecordedProgram,
  type RecordingOptions,
  recordProgram,
} from "./run/recorded_program.ts";
export { StagingSlot } from "./run/staging_slot.ts";
export { trialAllocation } from "./run/trial_allocation.ts";
export { Workspace } from "./run/workspace.ts";
export { type AdapterPeaks, measurePeaks } from "./tune/adapter_probes.ts";
export { loadTuning, type TunedChoice, type TuneOptions, tuneProgram } from "./tune/tune_program.ts";
