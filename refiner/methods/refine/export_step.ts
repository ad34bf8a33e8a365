import { OptionError, type Tensor } from "../../../engine/index.ts";
import type { VisionTransformer } from "../../../models/index.ts";
import { asImageSource, type ImageInput } from "../../data/sources/image_input.ts";
import { HostArena } from "../../training/offload/host_arena.ts";
import { newestRestored } from "../../training/resume.ts";
import type { RunState } from "../../training/run_state.ts";
import type { RunStore } from "../../training/run_store.ts";
import { TrainingPlan } from "../../training/training_plan.ts";
import { MicroBatchStep } from "./micro_batch.ts";
import type { RefineConfig } from "./refine_config.ts";
import { RefineMethod } from "./refine_method.ts";

export interface ExportStepOptions {
  /** The encoder that the run began with; its weights become those of the checkpoint. */
  readonly encoder: VisionTransformer;
  /** The images of the run: their number and largest size are part of its step. */
  readonly images: ImageInput;
  readonly config: RefineConfig;
  /** Only read. */
  readonly store: RunStore;
  /** Texts for the header beside those of the run. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** An exported step of a run, and the checkpoint whose state it begins with. */
export interface ExportedStep {
  readonly bytes: Uint8Array;
  readonly checkpoint: string;
  readonly stage: number;
  /** Completed updates of that stage. */
  readonly update: number;
  readonly notices: readonly string[];
}

/**
 * The update of a refinement as one file for `mimrefine/step`, with the state of its newest checkpoint: encoder, average, heads,
 * queues and moments under their names in checkpoints. Its inputs are those of the recorded step: packed images with the parameters of
 * their views, samples, classes, and the scalars of the optimisers (see `stepScalars`).
 *
 * @throws OptionError for a run in micro-batches or with state on the host, whose update is more than one program; CheckpointError
 *   where there is no whole checkpoint
 */
export async function exportRefineStep(options: ExportStepOptions): Promise<ExportedStep> {
  const { encoder, config, store, metadata = {} } = options;
  if (config.offload.length > 0)
    throw new OptionError(
      `export-step: the run keeps ${config.offload.join(" and ")} on the host (offload), so that its update is more than one program; export a run without`,
    );
  const method = new RefineMethod(encoder, config, await asImageSource(options.images), undefined);
  try {
    const restored = await newestRestored(store, new TrainingPlan(method.stages), method);
    const step = method.stage?.step;
    if (!restored || !step)
      throw new OptionError(`export-step: ${store.name} has no checkpoint yet; let the run make its first`);
    if (step instanceof MicroBatchStep)
      throw new OptionError(
        `export-step: the run works in micro-batches of ${config.microBatch}, so that its update is more than one program; export a run without microBatch`,
      );
    const { stage, update } = restored.position;
    const place = {
      method: method.name,
      stage: String(stage),
      update: String(update),
      settings: JSON.stringify(config),
    };
    const bytes = await step.export({ state: namedState(method.state()), metadata: { ...metadata, ...place } });
    return { bytes, checkpoint: restored.file, stage, update, notices: restored.notices };
  } finally {
    await method.close();
  }
}

/** Tensors of a run by their names in checkpoints. */
function namedState({ arenas, tensors, lossScale = {} }: RunState): Record<string, Tensor> {
  const inArenas = Object.entries(arenas).flatMap(([prefix, arena]) =>
    arena instanceof HostArena ? [] : [...arena.tensors].map(([name, tensor]) => [`${prefix}${name}`, tensor] as const),
  );
  return { ...Object.fromEntries(inArenas), ...tensors, ...lossScale };
}
