import type { ImageBatch } from "../data/index.ts";
import type { StateHash } from "./state_hash.ts";
import type { TrainingStage, UpdatePlace } from "./training_method.ts";

/** An update that was submitted; its numbers arrive later. */
export interface SubmittedUpdate<Result> {
  readonly result: Promise<Result>;
}

/** Completed updates, of the stage and of all stages. */
export interface UpdatesDone {
  readonly update: number;
  readonly total: number;
}

/** Stands between the loop and the updates of a method, such as to hash what they leave. */
export interface UpdateWatch {
  /** Called before the first of some updates, with the state that they go on from. */
  begin(stage: TrainingStage, done: UpdatesDone): Promise<void>;
  /** Makes one update; `submit` may be called again once the state is what it was. */
  run<Result>(
    batch: ImageBatch,
    place: UpdatePlace,
    submit: () => Promise<SubmittedUpdate<Result>>,
  ): Promise<SubmittedUpdate<Result>>;
  /** Hash of what the last update left, which is what may be saved. */
  present(): Promise<StateHash | undefined>;
}

/** Leaves updates as they are. */
export const unwatched: UpdateWatch = {
  begin: async () => undefined,
  run: (_batch, _place, submit) => submit(),
  present: async () => undefined,
};
