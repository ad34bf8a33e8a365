import type { TrainingEvent } from "../../training/training_events.ts";
import type { UpdateCost, UpdateHeader } from "../../training/training_method.ts";
import type { FewUpdatesAdvice } from "./planning/few_updates.ts";
import type { UpdateResult } from "./stage.ts";
import type { StageNumber } from "./stage_plan.ts";

/** Which weights an evaluation looks at. */
export type EvaluatedWeights = "encoder" | "ema";

/** What a run tells while it goes on; update and k-NN events are also the lines of `metrics.jsonl`. */
export type RefineEvent =
  /** The first one, before anything is written: the options are right. */
  | {
      readonly kind: "start";
      readonly updates: number;
      readonly images: number;
      readonly fewUpdates?: FewUpdatesAdvice;
    }
  | ({ readonly kind: "update"; readonly stage: StageNumber } & UpdateHeader & UpdateCost & UpdateResult)
  | {
      readonly kind: "knn";
      readonly stage: 1 | StageNumber;
      readonly epoch: number;
      readonly weights: EvaluatedWeights;
      readonly k: number;
      readonly accuracy: readonly number[];
    }
  | TrainingEvent;

/** k-NN accuracy per block, where it was evaluated. */
export interface KnnOfRun {
  readonly before?: readonly number[];
  readonly afterStage2?: readonly number[];
  readonly after?: readonly number[];
}
