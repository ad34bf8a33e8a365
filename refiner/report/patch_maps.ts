import { type Device, recordProgram } from "../../engine/index.ts";
import { segmentTokens, type VisionTransformer } from "../../models/index.ts";
import type { ImageSource, RgbImage } from "../data/image_source.ts";
import {
  colourMap,
  componentScores,
  EvaluationInputs,
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
 * Maps of the three leading principal components of patch features (output of the last block), over all given images at once.
 *
 * @param indices - images of the source to show
 */
export async function patchMaps(
  device: Device,
  models: { readonly before: VisionTransformer; readonly after: VisionTransformer },
  source: ImageSource,
  indices: readonly number[],
): Promise<PatchMap[]> {
  const { config } = models.before;
  const fitting = matchChannels(source, config.channels === 1 ? 1 : 3);
  const inputs = new EvaluationInputs(config, indices.length, {});
  const images = await Promise.all(indices.map((index) => fitting.load(index, { resizeTo: inputs.shorterSidePixels })));
  const before = await mapsOf(device, models.before, inputs, images);
  const after = await mapsOf(device, models.after, inputs, images);
  return images.map((image, i) => ({ image, before: before[i] ?? image, after: after[i] ?? image }));
}

async function mapsOf(
  device: Device,
  model: VisionTransformer,
  inputs: EvaluationInputs,
  images: readonly RgbImage[],
): Promise<RgbImage[]> {
  inputs.grow(images);
  const { width, classTokens } = model.config;
  let grid = { rows: 1, columns: 1 };
  const program = recordProgram(
    device,
    (p) => {
      const encoded = model.forward(inputs.record(p));
      grid = encoded.segments[0] ?? grid;
      return { tokens: segmentTokens(encoded, 0) };
    },
    { name: "patch maps", inference: true },
  );
  const { tokens } = await (await program.run(inputs.values(images), ["tokens"])).read();
  program.destroy();
  const patches = grid.rows * grid.columns;
  const data = new Float32Array(images.length * patches * width);
  images.forEach((_, i) => {
    const first = i * (patches + classTokens) + classTokens;
    data.set(Float32Array.from(tokens.slice(first * width, (first + patches) * width)), i * patches * width);
  });
  const features = { rows: images.length * patches, columns: width, data };
  const colours = colourMap(componentScores(features, principalComponents(features, 3)));
  return images.map((_, i) => ({
    width: grid.columns,
    height: grid.rows,
    channels: 3,
    data: colours.slice(3 * i * patches, 3 * (i + 1) * patches),
  }));
}
