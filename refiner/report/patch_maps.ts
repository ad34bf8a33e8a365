import { type Device, DeviceMixError } from "../../engine/index.ts";
import type { VisionTransformer } from "../../models/index.ts";
import type { ImageSource, RgbImage } from "../data/image_source.ts";
import { subset } from "../data/sources/derived_sources.ts";
import { attentionMaps, EvaluationInputs, greyLevels, matchChannels, principalMaps } from "../evaluation/index.ts";

/** Patch features of one image as colours, before and after; one pixel per patch. */
export interface PatchMap {
  readonly image: RgbImage;
  readonly before: RgbImage;
  readonly after: RgbImage;
  /** Mean over the heads of the class token's attention in the last block; of the first images, where both models have such a token. */
  readonly attention?: { readonly before: RgbImage; readonly after: RgbImage };
}

/** Images whose attention is shown, too. */
const mostAttention = 4;

/**
 * Maps of the three leading principal components of patch features (the encoder's final output), over all given images at once, and of
 * where the class token looks in the first four.
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
  const attention = await attentionOf(models, subset(source, indices.slice(0, mostAttention)));
  const pictures = matchChannels(shown, models.before.config.channels === 1 ? 1 : 3);
  const { shorterSidePixels } = new EvaluationInputs(device, models.before.config, 1, {});
  return Promise.all(
    before.map(async (map, i) => {
      const looking = attention[i];
      return {
        image: await pictures.load(i, { resizeTo: shorterSidePixels }),
        before: map,
        after: after[i] ?? map,
        ...(looking ? { attention: looking } : {}),
      };
    }),
  );
}

/** One pixel per patch. */
async function attentionOf(
  { before, after }: { readonly before: VisionTransformer; readonly after: VisionTransformer },
  source: ImageSource,
): Promise<{ readonly before: RgbImage; readonly after: RgbImage }[]> {
  if (before.config.classTokens === 0 || after.config.classTokens === 0) return [];
  const [old, refined] = [await greyMaps(before, source), await greyMaps(after, source)];
  return old.flatMap((map, i) => {
    const other = refined[i];
    return other ? [{ before: map, after: other }] : [];
  });
}

async function greyMaps(model: VisionTransformer, source: ImageSource): Promise<RgbImage[]> {
  const maps: RgbImage[] = [];
  for await (const { mean, rows, columns } of attentionMaps(model, source)) {
    const size = { width: columns, height: rows };
    maps.push({ ...size, channels: 1, data: Uint8Array.from(greyLevels(mean, { rows, columns }, size, 255)) });
  }
  return maps;
}

async function mapsOf(device: Device, model: VisionTransformer, source: ImageSource): Promise<RgbImage[]> {
  if (model.device !== device)
    throw new DeviceMixError("patchMaps: a model lives on another device; give the device that both were loaded on");
  return principalMaps(model, source);
}
