import { type ExportOptions, OptionError, type Tensor } from "../../engine/index.ts";
import { HostArena } from "./offload/host_arena.ts";
import { newestRestored, type ResumedMethod } from "./resume.ts";
import type { RunState } from "./run_state.ts";
import type { RunStore } from "./run_store.ts";
import type { TrainingStage } from "./training_method.ts";
import { TrainingPlan } from "./training_plan.ts";

/** An exported step of a run, and the checkpoint whose state it begins with. */
export interface ExportedStep {
  readonly bytes: Uint8Array;
  readonly checkpoint: string;
  readonly stage: number;
  /** Completed updates of that stage. */
  readonly update: number;
  readonly notices: readonly string[];
}

/** A method of training whose update may be one program. */
interface ExportedMethod<Stage extends TrainingStage> extends ResumedMethod<Stage> {
  readonly stages: readonly Stage[];
  /** Of an update of the stage that was begun. */
  programs(): readonly { export(options: ExportOptions): Promise<Uint8Array> }[];
}

export interface ExportedRun {
  readonly config: object;
  /** Only read. */
  readonly store: RunStore;
  /** Texts for the header beside those of the run. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * The update of a method as one file for `mimrefine/step`, with the state of the newest checkpoint of its run.
 *
 * @throws OptionError where there is no checkpoint, or the update is more than one program
 */
export async function exportUpdate<Stage extends TrainingStage>(
  method: ExportedMethod<Stage>,
  { config, store, metadata = {} }: ExportedRun,
): Promise<ExportedStep> {
  const restored = await newestRestored(store, new TrainingPlan(method.stages), method);
  const [program, ...others] = method.programs();
  if (!restored || !program)
    throw new OptionError(`export-step: ${store.name} has no checkpoint yet; let the run make its first`);
  if (others.length > 0)
    throw new OptionError(
      `export-step: an update of this run is ${others.length + 1} programs (micro-batches, or the fixed parts of a reproducible ${method.name}), and a step is one; export a run whose batch is computed at once`,
    );
  const { stage, update } = restored.position;
  const place = {
    method: method.name,
    stage: String(stage),
    update: String(update),
    settings: JSON.stringify(config),
  };
  const bytes = await program.export({ state: namedState(method.state()), metadata: { ...metadata, ...place } });
  return { bytes, checkpoint: restored.file, stage, update, notices: restored.notices };
}

/** Tensors of a run by their names in checkpoints. */
function namedState({ arenas, tensors, lossScale = {} }: RunState): Record<string, Tensor> {
  const inArenas = Object.entries(arenas).flatMap(([prefix, arena]) =>
    arena instanceof HostArena ? [] : [...arena.tensors].map(([name, tensor]) => [`${prefix}${name}`, tensor] as const),
  );
  return { ...Object.fromEntries(inArenas), ...tensors, ...lossScale };
}
