// The trainings of an experiment: random weights, MAE, the same MAE trained on for as much work as a refinement takes, and a
// refinement per seed.
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { maeFlops, refineFlops } from "./compute.mjs";
import { headSizes, maskRatio, model, pretraining, refinement } from "./recipes.mjs";
import { Steps } from "./steps.mjs";

/**
 * @param options.images - what to train on
 * @param options.sizes - `pixels`, `patch`, `channels` of the model
 * @param options.epochs - `mae`, `stage2`, `stage3`
 * @param options.pretrain, options.refine - settings that belong to these images
 * @returns weights files `random`, `mae`, `control`, the control's epochs, and per seed `refined` weights and the JSON of `refine`
 */
export async function trainings(folder, { images, seeds, sizes, epochs, pretrain, refine }) {
  const steps = new Steps(folder);
  const weightsOf = (name) => join(steps.path(name), "mae.safetensors");
  const common = { images, ...sizes, ...model, ...pretraining, ...pretrain };
  await steps.train("random", "pretrain", { ...common, epochs: 0 });
  await steps.train("mae", "pretrain", { ...common, epochs: epochs.mae });
  const refined = [];
  for (const seed of seeds) {
    const { metrics } = await steps.train(`refined_seed${seed}`, "refine", {
      weights: weightsOf("mae"),
      images,
      seed,
      ...refinement,
      stage2Epochs: epochs.stage2,
      stage3Epochs: epochs.stage3,
      ...refine,
    });
    refined.push({ weights: join(steps.path(`refined_seed${seed}`), "encoder.safetensors"), metrics });
  }
  const controlEpochs = epochs.mae + extraEpochs(sizes, epochs, refine);
  await steps.once("control_start", async () => {
    await cp(steps.path("mae"), steps.path("control"), { recursive: true });
    return { copied: true };
  });
  await steps.continued("control", "pretrain", { images, epochs: controlEpochs, override: true });
  return { random: weightsOf("random"), mae: weightsOf("mae"), control: weightsOf("control"), controlEpochs, refined };
}

/** Epochs of MAE with as many operations as the refinement. */
function extraEpochs(sizes, { stage2, stage3 }, refine) {
  const full = { ...sizes, ...model, maskRatio };
  const viewed = { ...full, pixels: refine.globalPixels ?? sizes.pixels };
  const heads = { ...headSizes, queueLength: refine.queueLength ?? headSizes.queueLength };
  const work = stage2 * refineFlops(viewed, heads, 2) + stage3 * refineFlops(viewed, heads, 3);
  return Math.round(work / maeFlops(full));
}
