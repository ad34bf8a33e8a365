import { goldenBounds, modelBounds } from "../bounds.ts";
import type { Training } from "./training.ts";

/** Bounds of the runs with Adam eps 1e-4, which suppresses round-off where the exact gradient is zero. */
export const stableBounds = { loss: 1e-5, weightAbsolute: 1e-4 } as const;
/** Another f32 implementation may be as far from float64 as the stored one is, in the other direction, and unluckier. */
export const roundOffFactor = 4;

/**
 * In f16 the features' errors grow in the heads, where batch norms and unit lengths divide by deviations and norms below 1; and
 * of neighbours that are about as similar another one may be chosen, in up to one of twenty choices.
 */
export const halfFactor = 2;
export const otherNeighbours = 0.05;

/** Relative bounds of losses and metrics. */
export interface StepBounds {
  readonly loss: number;
  readonly info: number;
}

export function stepBounds({ config, model }: Training): StepBounds {
  if (config.precision !== "f16") return { loss: stableBounds.loss, info: 5 * goldenBounds.forward };
  const bound = halfFactor * modelBounds("f16", model.encoder.config.blocks).forward;
  return { loss: bound, info: bound };
}
