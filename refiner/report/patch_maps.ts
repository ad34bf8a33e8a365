import { type Device, DeviceMixError } from "../../engine/index.ts";
import type { VisionTransformer } from "../../models/index.ts";
import type { ImageSource, RgbImage } from "../data/image_source.ts";
import { subset } from "../data/sources/derived_sources.ts";
import { EvaluationInputs, matchChannels, principalMaps } from "../evaluation/index.ts";

/** Patch features of one image as colours, before and after; one pixel per patch. */
export interface PatchMap {
  readonly image: RgbImage;
  readonly before: RgbImage;
  readonly after: RgbImage;
}

/**
 * Maps of the three leading principal components of patch features (the encoder's final output), over all given images at once.
 *
 * @param indices - images of the source to show, all whole
 * @throws DeviceMixError if a model lives on another device
 */
export async function patchMaps(
  device: Device,
  models: { readonly before: VisionTransformer; readonly after: VisionTransformer },
  source: ImageSource,
  indices: readonly number[],
): Promise<PatchMap[]> {
  const shown = subset(source, indices);
  const before = await mapsOf(device, models.before, shown);
  const after = await mapsOf(device, models.after, shown);
  const pictures = matchChannels(shown, models.before.config.channels === 1 ? 1 : 3);
  const { shorterSidePixels } = new EvaluationInputs(device, models.before.config, 1, {});
  return Promise.all(
    before.map(async (map, i) => ({
      image: await pictures.load(i, { resizeTo: shorterSidePixels }),
      before: map,
      after: after[i] ?? map,
    })),
  );
}

async function mapsOf(device: Device, model: VisionTransformer, source: ImageSource): Promise<RgbImage[]> {
  if (model.device !== device)
    throw new DeviceMixError("patchMaps: a model lives on another device; give the device that both were loaded on");
  return principalMaps(model, source);
}
