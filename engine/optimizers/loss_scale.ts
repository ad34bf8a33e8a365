import { OptionError } from "../core/errors.ts";

/** Length of the f32 state that {@link lossScaleValues} fills and `stepControl` keeps up to date. */
export const lossScaleLength = 5;

/** Start of the factor on the loss (PyTorch's gradient scaler). */
export const initialLossScale = 65536;

export interface LossScaleOptions {
  /** Default {@link initialLossScale}; a power of two, so that taking it out again is exact. */
  readonly scale?: number;
  /** Updates that the moments have seen already. Default 0. */
  readonly updates?: number;
  readonly beta1: number;
  readonly beta2: number;
}

/**
 * Values of the state of dynamic loss scaling: the factor, good steps since it last changed, skipped steps, and `1 - beta^t` of
 * both moments for the `t` steps that were not skipped.
 *
 * @throws OptionError for a factor that is not a power of two of at least 1
 */
export function lossScaleValues(options: LossScaleOptions): Float32Array {
  const { scale = initialLossScale, updates = 0, beta1, beta2 } = options;
  if (!(scale >= 1) || !Number.isInteger(Math.log2(scale))) {
    throw new OptionError(`lossScale: ${scale} is not a power of two of at least 1; the usual start is 65536`);
  }
  return Float32Array.of(scale, 0, 0, 1 - beta1 ** updates, 1 - beta2 ** updates);
}

/** What the state says. */
export interface LossScale {
  /** Factor of the next step. */
  readonly scale: number;
  /** Steps that were skipped since the state began. */
  readonly skipped: number;
}

/** Reads host values of the state. */
export function readLossScale(values: ArrayLike<number>): LossScale {
  return { scale: values[0] ?? Number.NaN, skipped: values[2] ?? Number.NaN };
}
