import { EngineError } from "../../engine/index.ts";

/** Training went wrong in a way that more updates will not mend. */
export class CollapseError extends EngineError {}

/**
 * Refuses to go on after an update whose loss is no number.
 *
 * @param method - what messages call the training
 * @throws CollapseError
 */
export function requireFiniteLoss(
  method: string,
  update: number,
  { loss, learningRate }: { readonly loss: number; readonly learningRate: number },
  precision: "f32" | "f16",
): void {
  if (Number.isFinite(loss)) return;
  const half =
    precision === "f16"
      ? ", or train in precision f32: an activation beyond 65504, the largest f16, has the same effect"
      : "";
  throw new CollapseError(
    `${method}: the loss is ${loss} at update ${update}; lower the learning rate (now ${learningRate})${half}`,
  );
}
