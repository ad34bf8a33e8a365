import { orderedBatches, type ReadOptions } from "../../data/batches/batches.ts";
import type { ImageSource, RgbImage } from "../../data/image_source.ts";
import type { FeatureExtractor, FeatureRows } from "./feature_extractor.ts";
import { matchChannels } from "./match_channels.ts";

export interface FeatureReadOptions
  extends Pick<ReadOptions, "maxBad" | "onBroken" | "broken" | "signal" | "prefetch"> {
  /** Images decoded together; changes speed and memory only. Default 32. */
  readonly batch?: number;
  /** Images done so far. */
  readonly onProgress?: (images: number) => void;
}

/** Features of the next images of a source. */
export interface FeatureBatch {
  /** Per block of the extractor `[images, width]`. */
  readonly features: FeatureRows;
  /** Place of each row in the source; broken images are left out. */
  readonly indices: readonly number[];
  /** Class of each row, -1 where it has none. */
  readonly labels: readonly number[];
}

interface Waiting {
  readonly image: RgbImage;
  readonly index: number;
  readonly label: number;
}

/**
 * Features of every image of a source, in its order, as they become ready; memory does not grow with their number. While one
 * group is computed, the next images are decoded and the last results come back. Grey images are repeated over the channels and
 * colour becomes luma where the model wants it.
 *
 * @throws TooManyBrokenImagesError above `maxBad`
 * @throws BatchCapacityError for an image that alone is over the device's limits
 */
export async function* streamFeatures(
  extractor: FeatureExtractor,
  source: ImageSource,
  options: FeatureReadOptions = {},
): AsyncGenerator<FeatureBatch, void, void> {
  const { onProgress } = options;
  let done = 0;
  let pending: (() => Promise<FeatureBatch>) | undefined;
  for await (const group of groupsOf(extractor, source, options)) {
    const read = await extractor.submit(group.map(({ image }) => image));
    const ready = await pending?.();
    pending = async () => ({
      features: await read(),
      indices: group.map(({ index }) => index),
      labels: group.map(({ label }) => label),
    });
    if (ready) yield reported(ready);
  }
  const last = await pending?.();
  if (last) yield reported(last);

  function reported(batch: FeatureBatch): FeatureBatch {
    done += batch.indices.length;
    onProgress?.(done);
    return batch;
  }
}

/** Images in groups that one run takes. */
async function* groupsOf(
  extractor: FeatureExtractor,
  source: ImageSource,
  { batch = 32, prefetch = 1, maxBad, onBroken, broken, signal }: FeatureReadOptions,
): AsyncGenerator<readonly Waiting[], void, void> {
  let waiting: Waiting[] = [];
  const reading = {
    batchSize: batch,
    prefetch,
    ...extractor.decoding,
    signal,
    maxBad,
    onBroken,
    ...(broken ? { broken } : {}),
  };
  for await (const { images, indices, labels } of orderedBatches(matchChannels(source, extractor.channels), reading)) {
    for (const [i, image] of images.entries()) {
      if (waiting.length > 0 && !extractor.holds([...waiting.map((one) => one.image), image])) {
        yield waiting;
        waiting = [];
      }
      waiting.push({ image, index: indices[i] ?? 0, label: labels[i] ?? -1 });
      if (waiting.length < extractor.batch) continue;
      yield waiting;
      waiting = [];
    }
  }
  if (waiting.length > 0) yield waiting;
}
