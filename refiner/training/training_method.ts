import type { Device, LossScale } from "../../engine/index.ts";
import type { ImageBatch } from "../data/index.ts";
import type { LossScaling } from "./loss_scaling.ts";
import type { RunCheckpointMetadata, RunState } from "./run_state.ts";
import type { RunStore } from "./run_store.ts";

/** A part of a training with a schedule of its own. */
export interface TrainingStage {
  /** What metrics and run checkpoints call it; later stages have higher numbers. */
  readonly stage: number;
  readonly updates: number;
  readonly updatesPerEpoch: number;
  /** Epochs between evaluations on the way; 0 for none. Absent in a stage that is never evaluated on the way. */
  readonly evaluateEvery?: number;
}

/** Where an update stands when it is submitted: what came before it. */
export interface UpdatePlace {
  /** Completed updates of the stage. */
  readonly update: number;
  /** Completed updates of all stages. */
  readonly total: number;
  /** Completed epochs of all stages. */
  readonly epoch: number;
}

/** What a finished update is told as. */
export interface UpdateHeader {
  /** Its number within the stage, from 1. */
  readonly update: number;
  /** Updates of the stage. */
  readonly of: number;
  readonly epoch: number;
}

/** What an update cost. */
export interface UpdateCost {
  readonly imagesPerSecond: number;
  /** Share of the time that was spent waiting for images. */
  readonly waitShare: number;
  /** Held on the device after this update. */
  readonly deviceBytes: number;
  readonly hostBytes?: number;
}

/** When an evaluation may be made, with the epochs of all stages completed by then. */
export type EvaluationMoment<Stage> =
  | { readonly at: "beginning"; readonly epoch: 0 }
  | { readonly at: "epoch" | "stage end" | "end"; readonly stage: Stage; readonly epoch: number };

/** Loss scaling of a stage, and what it skips in the words of notices. */
export interface ScaledUpdates {
  readonly scaling: LossScaling;
  /** One skipped update, such as `the encoder's update`. */
  readonly one: string;
  /** Several, such as `updates of the encoder`. */
  readonly many: string;
}

/**
 * A way to train: all that `trainingLoop` has to know about it. A new method is a folder of `refiner/methods` with a class that
 * implements this, its settings, and an entry function that makes both and runs the loop (`methods/mae` is the shortest example).
 * The loop feeds batches, waits for results, writes metrics and run checkpoints, resumes and tells what happens; the method records
 * programs, submits updates, and says what their numbers mean.
 *
 * For one run the loop calls, in this order: `startEvent`, `initialize`, `evaluate` at the beginning; per stage `beginStage`, then
 * `state` to restore a run checkpoint into, `run` per update with `updateEvent` and `check` once its numbers are there, `state` and
 * `checkpointMetadata` per run checkpoint, `evaluate`; in the end `writeResult` and `evaluate`.
 *
 * @typeParam Result - the numbers of an update
 * @typeParam Event - what the method tells beside the events of the loop
 */
export interface TrainingMethod<
  Result extends { readonly lossScale?: LossScale },
  Event,
  Stage extends TrainingStage = TrainingStage,
> {
  /** Begins the messages of errors, such as `refine`. */
  readonly name: string;
  readonly device: Device;
  readonly stages: readonly Stage[];
  /** Updates whose numbers may still be on their way when the next one is submitted: 0 waits for each, 1 keeps the device busy. */
  readonly updatesInFlight: number;
  /** Loss scaling of the present stage; undefined where nothing is scaled. */
  readonly scaled: ScaledUpdates | undefined;

  startEvent(run: { readonly updates: number; readonly images: number }): Event;
  /** Writes the start values of everything that outlives a stage, unless it was made with them. */
  initialize?(): Promise<void>;
  /** Makes a stage the present one, with its state as it is after `update` of its updates, as far as no run checkpoint tells it. */
  beginStage(stage: Stage, update: number): Promise<void>;
  /** Submits one update of the present stage; `result` arrives later. */
  run(batch: ImageBatch, place: UpdatePlace): Promise<{ readonly result: Promise<Result> }>;
  /** The event of an update, which is also its line of `metrics.jsonl`. */
  updateEvent(stage: Stage, header: UpdateHeader, result: Result, cost: UpdateCost): Event;
  /** @throws CollapseError where the numbers of an update show that more of them will not help */
  check(update: number, result: Result): void;
  /** All that a resumed run needs at this point of the present stage. */
  state(): RunState;
  /** What stands in a run checkpoint beside the state: at least `stage` and `update`, by which the loop finds its place again. */
  checkpointMetadata(stage: Stage, done: { readonly update: number; readonly total: number }): RunCheckpointMetadata;
  /**
   * Evaluates where the moment calls for it. A method that has this is not finished before its last evaluation: a signal that comes
   * with the last update stops it, while a method without evaluations writes its result.
   *
   * @returns an event, which becomes a line of `metrics.jsonl`, too; undefined where nothing was evaluated
   */
  evaluate?(moment: EvaluationMoment<Stage>): Promise<Event | undefined>;
  /**
   * Whether evaluations are what the training is for: one that fails after the last update fails the run, too. Without, the weights
   * are its result, and a notice says what is missing.
   */
  readonly needsEvaluations?: boolean;
  /** Takes over an evaluation that a resumed run made before, from its line of `metrics.jsonl`. */
  recall?(line: unknown): void;
  /** Writes what users take away, once all updates are made. */
  writeResult(store: RunStore): Promise<void>;
}
