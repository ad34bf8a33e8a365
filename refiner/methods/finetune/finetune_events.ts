import type { LossScale } from "../../../engine/index.ts";
import type { TrainingEvent } from "../../training/training_events.ts";
import type { UpdateCost, UpdateHeader } from "../../training/training_method.ts";

/** What one update gave. */
export interface FinetuneUpdate {
  /** Cross-entropy against smoothed and mixed targets, mean over the batch. */
  readonly loss: number;
  /** Of the head. */
  readonly learningRate: number;
  /** Norm of all gradients together. */
  readonly gradientNorm: number;
  /** Factor of the next update, and updates skipped so far; with precision f16. */
  readonly lossScale?: LossScale;
}

/** Accuracy on the test images. */
export interface TestAccuracy {
  /** Share of the images whose largest logit is that of their class. */
  readonly accuracy: number;
  /** Those that were tested. */
  readonly images: number;
}

/** A test, and the completed epochs when it was made. */
export interface EpochAccuracy extends TestAccuracy {
  readonly epoch: number;
}

/** What a fine-tuning tells while it goes on; updates and tests are also the lines of `metrics.jsonl`. */
export type FinetuneEvent =
  /** The first one, before anything is written: the options are right. */
  | { readonly kind: "start"; readonly updates: number; readonly images: number }
  | ({ readonly kind: "update"; readonly stage: 1 } & UpdateHeader & FinetuneUpdate & UpdateCost)
  | ({ readonly kind: "test"; readonly stage: 1 } & EpochAccuracy)
  | TrainingEvent;
