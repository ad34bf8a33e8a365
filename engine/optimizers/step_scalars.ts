import { d } from "typegpu";
import { OptionError } from "../core/errors.ts";

/** What changes from step to step, as optimiser kernels read it: twelve f32. */
export const Step = d
  .struct({
    learningRate: d.f32,
    beta1: d.f32,
    oneMinusBeta1: d.f32,
    gradientScale: d.f32,
    beta2: d.f32,
    oneMinusBeta2: d.f32,
    epsilon: d.f32,
    apply: d.f32,
    firstCorrection: d.f32,
    secondCorrection: d.f32,
    averageFactor: d.f32,
    oneMinusAverageFactor: d.f32,
  })
  .$name("Step");

/** Length of the f32 tensor that {@link stepScalars} fills. */
export const stepScalarCount = 12;

export interface StepOptions {
  readonly learningRate: number;
  /** Number of this update, from 1 on. */
  readonly step: number;
  /** Decay of the first moment; the momentum of `sgd`. */
  readonly beta1: number;
  /** Decay of the second moment; unused by `sgd`. Default 0.999. */
  readonly beta2?: number;
  /** Added to the root of the second moment. Default 1e-8. */
  readonly epsilon?: number;
  /** `f` of the moving average `f · average + (1 - f) · parameters`. Default 0. */
  readonly averageFactor?: number;
}

/**
 * Values for the `scalars` of `adamW` and `sgd`. Differences from 1 are formed in float64: in f32, `1 - 0.9999` would be
 * off by 2e-4 of itself.
 *
 * @throws OptionError for values outside their range
 */
export function stepScalars(options: StepOptions): Float32Array {
  const { learningRate, step, beta1, beta2 = 0.999, epsilon = 1e-8, averageFactor = 0 } = options;
  if (!Number.isInteger(step) || step < 1) {
    throw new OptionError(`stepScalars: step is ${step}, expected the number of the update, from 1 on`);
  }
  for (const [name, value] of Object.entries({ beta1, beta2 })) {
    if (!(value >= 0 && value < 1)) throw new OptionError(`stepScalars: ${name} is ${value}, expected 0 ≤ ${name} < 1`);
  }
  if (!(averageFactor >= 0 && averageFactor <= 1)) {
    throw new OptionError(`stepScalars: averageFactor is ${averageFactor}, expected 0 … 1`);
  }
  if (!(epsilon > 0)) throw new OptionError(`stepScalars: epsilon is ${epsilon}, expected more than 0`);
  const corrections = [1 / (1 - beta1 ** step), 1 / Math.sqrt(1 - beta2 ** step)];
  const [gradientScale, apply] = [1, 1];
  return Float32Array.from([
    ...[learningRate, beta1, 1 - beta1, gradientScale],
    ...[beta2, 1 - beta2, epsilon, apply],
    ...[...corrections, averageFactor, 1 - averageFactor],
  ]);
}
