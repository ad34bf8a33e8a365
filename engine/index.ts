export { Arena, type ArenaEntry, arenaBlockElements } from "./arena.ts";
export type { GradientRule } from "./autograd.ts";
export { Device, type DeviceInfo, type DeviceOptions, openDevice } from "./device.ts";
export type { DType, HostArray } from "./dtype.ts";
export * from "./errors.ts";
export { defineKernel, type Kernel, type KernelFeature, shaderText } from "./kernel.ts";
export { fill, full } from "./ops/fill.ts";
export { type DispatchOptions, Program, type ProgramOptions } from "./program.ts";
export { type KernelTime, type Readback, RecordedProgram, recordProgram } from "./recorded.ts";
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
} from "./shape.ts";
export type { ProgramStats } from "./stats.ts";
export { emptyLike, programOf, reshape, rows, Tensor } from "./tensor.ts";
