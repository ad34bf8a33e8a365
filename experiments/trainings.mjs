// The trainings that every experiment makes with one seed: random weights, MAE, its refinement, and MAE for as much work as both.
import { join } from "node:path";
import { maeFlops, refineFlops } from "./compute.mjs";
import { headSizes, maskRatio, model, pretraining, refinement } from "./recipes.mjs";

/**
 * @param options.images - what to train on
 * @param options.sizes - `pixels`, `patch`, `channels` of the model
 * @param options.epochs - `mae`, `stage2`, `stage3`
 * @param options.pretrain, options.refine - settings of the images
 * @returns weights files `random`, `mae`, `refined`, `control`, the control's epochs, and the JSON of `refine`
 */
export async function trainings(steps, { images, seed, sizes, epochs, pretrain, refine }) {
  const common = { images, seed, ...sizes, ...model, ...pretraining, ...pretrain };
  const { stage2, stage3 } = epochs;
  const full = { ...sizes, ...model, maskRatio };
  const extraWork = stage2 * refineFlops(full, headSizes, 2) + stage3 * refineFlops(full, headSizes, 3);
  const controlEpochs = epochs.mae + Math.round(extraWork / maeFlops(full));
  const weightsOf = (name) => join(steps.path(name), "mae.safetensors");
  await steps.train("random", "pretrain", { ...common, epochs: 0 });
  await steps.train("mae", "pretrain", { ...common, epochs: epochs.mae });
  const refined = await steps.train("refined", "refine", {
    weights: weightsOf("mae"),
    images,
    seed,
    ...refinement,
    stage2Epochs: stage2,
    stage3Epochs: stage3,
    ...refine,
  });
  await steps.train("control", "pretrain", { ...common, epochs: controlEpochs });
  return {
    random: weightsOf("random"),
    mae: weightsOf("mae"),
    refined: join(steps.path("refined"), "encoder.safetensors"),
    control: weightsOf("control"),
    controlEpochs,
    knn: refined.metrics,
  };
}
