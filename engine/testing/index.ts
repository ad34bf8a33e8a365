export { oddLength, randomSource, type ValueKind, valueKind, valuesOf } from "./arbitraries.ts";
export { checkKernel, type KernelCase } from "./check_kernel.ts";
export {
  checkGradient,
  checkOperation,
  type DoubleOperands,
  type GradientCheck,
  type HostOperand,
  type HostOperands,
  type OperationCheck,
  upload,
} from "./check_operation.ts";
export { expectClose, maxError, roundOff, toleranceOf } from "./compare.ts";
