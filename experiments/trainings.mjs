// The trainings of an experiment: random weights, MAE, the same MAE trained on for as much work as a refinement takes, and a
// refinement per seed.
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { maeFlops, refineFlops } from "./compute.mjs";
import { headSizes, maskRatio, model, pretraining, refinement } from "./recipes.mjs";
import { Steps } from "./steps.mjs";

/**
 * @param options.images - what all of them are trained on
 * @param options.start - a file of MAE weights that stands for the pre-training
 * @param options.sizes - `pixels`, `patch`, `channels` of the model
 * @param options.epochs - `mae`, `stage2`, `stage3`
 * @param options.pretrain, options.refine - settings that belong to these images
 * @returns weights files `random`, `mae`, `control`, the control's epochs, and per seed `refined` weights and the JSON of `refine`
 */
export async function trainings(folder, options) {
  const { images, start, seeds, sizes, epochs, pretrain, refine } = options;
  const steps = new Steps(folder);
  const weightsOf = (name) => join(steps.path(name), "mae.safetensors");
  const mae = start ?? weightsOf("mae");
  const common = { images, ...sizes, ...model, ...pretraining, ...pretrain };
  await steps.train("random", "pretrain", { ...common, epochs: 0 });
  if (!start) await steps.train("mae", "pretrain", { ...common, epochs: epochs.mae });
  const refined = [];
  for (const seed of seeds) {
    const { metrics } = await steps.train(`refined_seed${seed}`, "refine", {
      weights: mae,
      images,
      seed,
      ...refinement,
      stage2Epochs: epochs.stage2,
      stage3Epochs: epochs.stage3,
      ...refine,
    });
    refined.push({ weights: join(steps.path(`refined_seed${seed}`), "encoder.safetensors"), metrics });
  }
  const extra = Math.round(extraEpochs(sizes, epochs, refine));
  if (start) await steps.train("control", "pretrain", { ...common, weights: start, epochs: extra });
  else await continuedRun(steps, { images, epochs: epochs.mae + extra, override: true });
  return {
    ...{ random: weightsOf("random"), mae, control: weightsOf("control"), refined },
    controlEpochs: epochs.mae + extra,
  };
}

async function continuedRun(steps, options) {
  await steps.once("control_start", async () => {
    await cp(steps.path("mae"), steps.path("control"), { recursive: true });
    return { copied: true };
  });
  await steps.continued("control", "pretrain", options);
}

/** Epochs of MAE, no whole number, with as many operations as the refinement. */
function extraEpochs(sizes, { stage2, stage3 }, refine) {
  const full = { ...sizes, ...model, maskRatio };
  const viewed = { ...full, pixels: refine.globalPixels ?? sizes.pixels };
  const heads = { ...headSizes, queueLength: refine.queueLength ?? headSizes.queueLength };
  const work = stage2 * refineFlops(viewed, heads, 2) + stage3 * refineFlops(viewed, heads, 3);
  return work / maeFlops(full);
}
