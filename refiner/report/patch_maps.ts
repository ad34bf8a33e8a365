import { type Device, DeviceMixError } from "../../engine/index.ts";
import type { VisionTransformer } from "../../models/index.ts";
import type { ImageSource, RgbImage } from "../data/image_source.ts";
import { subset } from "../data/sources/derived_sources.ts";
import {
  collectFeatures,
  colourMap,
  componentScores,
  FeatureExtractor,
  matchChannels,
  principalComponents,
} from "../evaluation/index.ts";

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
  return Promise.all(
    before.maps.map(async (map, i) => ({
      image: await pictures.load(i, { resizeTo: before.sidePixels }),
      before: map,
      after: after.maps[i] ?? map,
    })),
  );
}

async function mapsOf(
  device: Device,
  model: VisionTransformer,
  source: ImageSource,
): Promise<{ readonly maps: readonly RgbImage[]; readonly sidePixels: number }> {
  if (model.device !== device)
    throw new DeviceMixError("patchMaps: a model lives on another device; give the device that both were loaded on");
  const extractor = new FeatureExtractor(model, { blocks: ["last"], pooling: "patches" });
  const { grid, shorterSidePixels } = extractor;
  const { features } = await collectFeatures(extractor, source, { maxBad: 0 }).finally(() => extractor.destroy());
  const [data = new Float32Array()] = features.map((matrix) => matrix.data);
  const patches = grid.rows * grid.columns;
  const tokens = { rows: source.length * patches, columns: model.config.width, data };
  const colours = colourMap(componentScores(tokens, principalComponents(tokens, 3)));
  const maps = Array.from(
    { length: source.length },
    (_, i): RgbImage => ({
      width: grid.columns,
      height: grid.rows,
      channels: 3,
      data: colours.slice(3 * i * patches, 3 * (i + 1) * patches),
    }),
  );
  return { maps, sidePixels: shorterSidePixels };
}
