import type { LossScale } from "../../../engine/index.ts";
import type { TrainingEvent } from "../../training/training_events.ts";
import type { UpdateCost, UpdateHeader } from "../../training/training_method.ts";

/** What one update gave. */
export interface MaeUpdate {
  readonly loss: number;
  readonly learningRate: number;
  /** Norm of all gradients together. */
  readonly gradientNorm: number;
  /** Factor of the next update, and updates skipped so far; with precision f16. */
  readonly lossScale?: LossScale;
}

/** What a pre-training tells while it goes on; update events are also the lines of `metrics.jsonl`. */
export type PretrainEvent =
  /** The first one, before anything is written: the options are right. */
  | { readonly kind: "start"; readonly updates: number; readonly images: number }
  | ({ readonly kind: "update"; readonly stage: 1 } & UpdateHeader & MaeUpdate & UpdateCost)
  | TrainingEvent;
