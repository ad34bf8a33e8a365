// MAE trained on from the weights of an encoder alone, where no run is there to go on with: its decoder and optimizer are new.
import { openCheckpoint, openDevice } from "mimrefine/engine";
import { loadEncoder } from "mimrefine/models";
import { fileSource, openImages, RunFolder } from "mimrefine/node";
import { pretrain, pretrainConfig } from "mimrefine/refiner";
import { exists } from "./steps.mjs";

/**
 * Writes `mae.safetensors` into a run folder; goes on with what stands there.
 *
 * @param options - of `mimrefine pretrain`, with `images` and `channels`
 */
export async function continuedPretraining(folder, weights, { images, channels, ...settings }) {
  const device = await openDevice();
  const checkpoint = await openCheckpoint(await fileSource(weights));
  try {
    const { model } = await loadEncoder(device, checkpoint, {}, weights);
    const source = await openImages(images, { channels });
    const resume = await exists(`${folder}/checkpoints`);
    const config = pretrainConfig(settings);
    const run = pretrain({ device, images: source, config, store: new RunFolder(folder), resume, encoder: model });
    for (;;) {
      const { done, value } = await run.next();
      if (done) return { updates: value.updates };
    }
  } finally {
    await checkpoint.close();
    device.close();
  }
}
