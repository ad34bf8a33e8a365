import type { Checkpoint } from "../../engine/files/index.ts";
import { EngineError } from "../../engine/index.ts";
import { clearMetrics, type MetricsLine, rewindMetrics } from "./metrics_log.ts";
import { hasRunCheckpoint, newestRunCheckpoint, type RunState, restoreRunState } from "./run_checkpoint.ts";
import type { RunStore } from "./run_store.ts";
import { notice, type TrainingEvent } from "./training_events.ts";
import type { TrainingStage } from "./training_method.ts";
import type { RunPosition, TrainingPlan } from "./training_plan.ts";

/**
 * Where the newest run checkpoint stands; undefined where none was written yet, and the run starts at the beginning.
 *
 * @param name - of the method, for errors
 * @throws CheckpointError if all are damaged; EngineError for one of another program
 */
export async function* positionToResume(
  store: RunStore,
  plan: TrainingPlan<TrainingStage>,
  name: string,
): AsyncGenerator<TrainingEvent, RunPosition | undefined> {
  if (!(await hasRunCheckpoint(store))) {
    yield notice(`${store.name}: no checkpoint was written yet; starting at the beginning`);
    await clearMetrics(store);
    return undefined;
  }
  const { checkpoint, file } = await newestRunCheckpoint(store);
  const position = positionOf(checkpoint);
  await checkpoint.close();
  const last = plan.stages.at(-1)?.stage ?? position.stage;
  if (Number.isInteger(position.update) && position.stage <= last) return position;
  throw new EngineError(
    `${name}: ${file} stands at update ${position.update} of stage ${position.stage}, which this run does not have; resume with the settings that the run began with, or start again with --force`,
  );
}

function positionOf({ metadata }: Checkpoint): RunPosition {
  return { stage: Number(metadata.get("stage")), update: Number(metadata.get("update")) };
}

/**
 * Restores the newest run checkpoint that can be read, and drops the metrics of what comes after it.
 *
 * @returns the evaluations that stay, in order
 * @throws CheckpointError
 */
export async function* restoreRun(
  store: RunStore,
  plan: TrainingPlan<TrainingStage>,
  state: RunState,
): AsyncGenerator<TrainingEvent, MetricsLine[]> {
  const { checkpoint, file, damaged } = await newestRunCheckpoint(store);
  for (const text of damaged) yield notice(`${text}; going back to ${file}`);
  const { lossScaleIsMissing } = await restoreRunState(checkpoint, state);
  const position = positionOf(checkpoint);
  await checkpoint.close();
  if (lossScaleIsMissing) yield notice(`${file} was written in f32 and holds no loss scale: it starts anew`);
  const evaluations = await rewindMetrics(store, plan, position);
  yield notice(`resumed from ${file}`);
  return evaluations;
}
