import type { ImageSource } from "../../refiner/data/index.ts";
import type { OpenImagesOptions } from "../../refiner/data/index_node.ts";
import { matchChannels } from "../../refiner/evaluation/index.ts";
import type { Output } from "../output/streams.ts";
import { type ImageOptions, openCommandImages } from "../program/open_images.ts";

/**
 * Opens several paths as one source, without labels: their images in turn, in the channels that the options say.
 *
 * @throws as `openCommandImages`
 */
export async function openAllImages(
  paths: readonly string[],
  options: OpenImagesOptions & ImageOptions & { readonly channels: 1 | 3 },
  output: Output,
): Promise<ImageSource> {
  const sources: ImageSource[] = [];
  const close = async (): Promise<void> => {
    for (const source of sources) await source.close?.();
  };
  try {
    for (const path of paths)
      sources.push(matchChannels(await openCommandImages(path, options, output), options.channels));
  } catch (error) {
    await close();
    throw error;
  }
  const places = sources.flatMap((source) => Array.from({ length: source.length }, (_, index) => ({ source, index })));
  const at = (index: number): { source: ImageSource; index: number } => {
    const found = places[index];
    if (!found) throw new RangeError(`images: ${index} is none of ${places.length} images`);
    return found;
  };
  return {
    length: places.length,
    channels: options.channels,
    label: () => undefined,
    name: (index) => at(index).source.name(at(index).index),
    load: (index, loading) => at(index).source.load(at(index).index, loading),
    close,
  };
}
