import { OverLimitError } from "../../engine/index.ts";

/** Undefined where a tensor is over the limits of the device. */
export function withinLimits<T>(plan: () => T): T | undefined {
  try {
    return plan();
  } catch (error) {
    if (error instanceof OverLimitError) return undefined;
    throw error;
  }
}

/** Device memory of a plan; infinite where a tensor is over the limits of the device. */
export function plannedBytes(plan: () => { readonly memory: { readonly total: number } }): number {
  return withinLimits(plan)?.memory.total ?? Number.POSITIVE_INFINITY;
}
