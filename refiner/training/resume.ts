import { CheckpointError, CorruptFileError } from "../../engine/files/index.ts";
import { EngineError } from "../../engine/index.ts";
import { type Exchange, fromFirst, oneRank } from "../exchange/exchange.ts";
import { clearMetrics, evaluationsIn, type MetricsLine, rewindMetrics } from "./metrics_log.ts";
import { runCheckpointFiles } from "./run_checkpoint.ts";
import type { RunState } from "./run_state.ts";
import type { RunStore } from "./run_store.ts";
import { StoredCheckpoint } from "./stored_checkpoint.ts";
import { notice, type TrainingEvent } from "./training_events.ts";
import type { TrainingStage } from "./training_method.ts";
import type { RunPosition, TrainingPlan } from "./training_plan.ts";

/** What a run that goes on needs of its method. */
export interface ResumedMethod<Stage extends TrainingStage> {
  readonly name: string;
  beginStage(stage: Stage, update: number): Promise<void>;
  state(): RunState;
}

/** A run that was brought back to one of its checkpoints. */
export interface ResumedRun {
  readonly position: RunPosition;
  /** The evaluations that stay, in order. */
  readonly evaluations: readonly unknown[];
}

/**
 * Begins the stage of the newest run checkpoint that is whole, restores its state, and drops the metrics of what comes after it.
 *
 * Where there are several ranks, each restores its part, and a file that is damaged for one of them is none for the others.
 *
 * @returns undefined where no checkpoint was written yet, and the run starts at the beginning
 * @throws CheckpointError if all are damaged; EngineError for one of another program
 */
export async function* resumeRun<Stage extends TrainingStage>(
  store: RunStore,
  plan: TrainingPlan<Stage>,
  method: ResumedMethod<Stage>,
  exchange: Exchange = oneRank,
): AsyncGenerator<TrainingEvent, ResumedRun | undefined> {
  const restored = await newestRestored(store, plan, method, exchange);
  if (!restored) {
    yield notice(`${store.name}: no checkpoint was written yet; starting at the beginning`);
    await clearMetrics(store);
    return undefined;
  }
  for (const text of restored.notices) yield notice(text);
  const { evaluations, dropped } = await rewindMetrics(store, plan, restored.position, restored.evaluations);
  if (dropped > 0)
    yield notice(`metrics.jsonl: ${dropped} damaged ${dropped === 1 ? "line was" : "lines were"} dropped`);
  yield notice(`resumed from ${restored.file}`);
  const made: readonly unknown[] = [JSON.parse(await fromFirst(exchange, JSON.stringify(evaluations)))].flat();
  return { position: restored.position, evaluations: made };
}

/**
 * Begins the stage of the newest run checkpoint that is whole, and restores its state. Only reads.
 *
 * @returns undefined where no checkpoint was written yet
 * @throws CheckpointError if all are damaged; EngineError for one of another program
 */
export async function newestRestored<Stage extends TrainingStage>(
  store: RunStore,
  plan: TrainingPlan<Stage>,
  method: ResumedMethod<Stage>,
  exchange: Exchange = oneRank,
): Promise<RestoredCheckpoint | undefined> {
  const found = (await runCheckpointFiles(store)).reverse();
  const files = (await fromFirst(exchange, found.join(" "))).split(" ").filter((file) => file !== "");
  if (files.length === 0) return undefined;
  const damaged: string[] = [];
  for (const file of files) {
    const restored = await restoredByAll(exchange, file, restoredFrom(store, file, { plan, method }));
    if (typeof restored === "string") {
      damaged.push(restored);
      continue;
    }
    const notices = [...damaged.map((text) => `${text}; going back to ${file}`), ...restored.notices];
    return { ...restored, file, notices };
  }
  throw new CheckpointError(
    "missing",
    `${store.name}: no checkpoint to resume from: all are damaged (${damaged.join("; ")}); start the run again with --force`,
  );
}

/** @returns what one of the ranks found damaged, if one did */
async function restoredByAll(
  exchange: Exchange,
  file: string,
  restoring: Promise<Restored>,
): Promise<Restored | string> {
  const own = await restoring.catch((error: unknown) => {
    if (!isDamage(error)) throw error;
    return error;
  });
  const damages = await exchange.share(own instanceof Error ? own.message : "");
  const found = damages.find((text) => text !== "");
  if (!(own instanceof Error) && found === undefined) return own;
  return found?.startsWith(file) ? found : `${file}: ${found}`;
}

/** Whether an error says that a file is not what was written: its content, or sectors that cannot be read. */
function isDamage(error: unknown): error is Error {
  return error instanceof CheckpointError || (error instanceof Error && "code" in error && error.code === "EIO");
}

async function restoredFrom<Stage extends TrainingStage>(
  store: RunStore,
  file: string,
  { plan, method }: { readonly plan: TrainingPlan<Stage>; readonly method: ResumedMethod<Stage> },
): Promise<Restored> {
  const stored = await StoredCheckpoint.open(store, file);
  try {
    const { stage, update } = placeOf(stored, plan, method.name);
    await method.beginStage(stage, update);
    const { lossScaleIsMissing } = await stored.restore(method.state());
    const notices = [
      ...(stored.checksums ? [] : [`${file} holds no checksums, as older versions wrote it: it was not verified`]),
      ...(lossScaleIsMissing ? [`${file} was written in f32 and holds no loss scale: it starts anew`] : []),
    ];
    const evaluations = stored.checksums ? evaluationsIn(stored.checkpoint.metadata) : undefined;
    return { position: { stage: stage.stage, update }, notices, evaluations };
  } finally {
    await stored.close();
  }
}

/** What a checkpoint brought back, and which it was. */
export interface RestoredCheckpoint extends Restored {
  readonly file: string;
}

/** What a checkpoint brought back. */
interface Restored {
  readonly position: RunPosition;
  readonly notices: readonly string[];
  /** Undefined where the checkpoint does not hold them, or nothing shows that they are as they were written. */
  readonly evaluations: readonly MetricsLine[] | undefined;
}

/** @throws CorruptFileError for counters that no run can have; EngineError for those of a run with other settings */
function placeOf<Stage extends TrainingStage>(
  stored: StoredCheckpoint,
  plan: TrainingPlan<Stage>,
  name: string,
): { readonly stage: Stage; readonly update: number } {
  const { file } = stored;
  const [number, update] = [stored.counter("stage"), stored.counter("update")];
  const stage = plan.stages.find((one) => one.stage === number);
  const total = stored.checkpoint.metadata.has("updates") ? stored.counter("updates") : stored.updates;
  const isFirst = stage !== undefined && plan.stages[0] === stage;
  if (total !== stored.updates || update < 1 || update > total || (isFirst && update !== total)) {
    throw new CorruptFileError(
      `${file}: its counters (stage ${number}, update ${update} of ${total}) contradict its name`,
    );
  }
  if (stage && update <= stage.updates) return { stage, update };
  const text = `${file} stands at update ${update} of stage ${number}, which this run does not have`;
  if (!stored.checksums) throw new CorruptFileError(`${text}: it is damaged, or the settings are others`);
  throw new EngineError(
    `${name}: ${text}; resume with the settings that the run began with, or start again with --force`,
  );
}
