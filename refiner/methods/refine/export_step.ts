import { OptionError } from "../../../engine/index.ts";
import type { VisionTransformer } from "../../../models/index.ts";
import { asImageSource, type ImageInput } from "../../data/sources/image_input.ts";
import { type ExportedRun, type ExportedStep, exportUpdate } from "../../training/export_update.ts";
import type { RefineConfig } from "./refine_config.ts";
import { RefineMethod } from "./refine_method.ts";

export interface ExportStepOptions extends ExportedRun {
  /** The encoder that the run began with; its weights become those of the checkpoint. */
  readonly encoder: VisionTransformer;
  /** The images of the run: their number and largest size are part of its step. */
  readonly images: ImageInput;
  readonly config: RefineConfig;
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
  const { encoder, config } = options;
  if (config.offload.length > 0)
    throw new OptionError(
      `export-step: the run keeps ${config.offload.join(" and ")} on the host (offload), so that its update is more than one program; export a run without`,
    );
  const method = new RefineMethod(encoder, config, await asImageSource(options.images), undefined);
  try {
    return await exportUpdate(method, options);
  } finally {
    await method.close();
  }
}
