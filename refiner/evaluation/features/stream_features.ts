import { orderedBatches, type ReadOptions } from "../../data/batches/batches.ts";
import type { ImageSource, RgbImage } from "../../data/image_source.ts";
import { BrokenImages } from "../../data/index.ts";
import { EvaluationError } from "../core/errors.ts";
import type { FeatureExtractor, FeatureRows } from "./feature_extractor.ts";
import { FiniteRows } from "./finite_rows.ts";
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
 * Errors about images come at the end and name all of them, so that they can be repaired together; nothing is computed or given out
 * meanwhile.
 *
 * @throws TooManyBrokenImagesError above `maxBad`
 * @throws NonFiniteFeaturesError if features are NaN or infinite; these are never given out
 * @throws EvaluationError if no image could be read
 * @throws BatchCapacityError for an image that alone is over the device's limits
 */
export async function* streamFeatures(
  extractor: FeatureExtractor,
  source: ImageSource,
  options: FeatureReadOptions = {},
): AsyncGenerator<FeatureBatch, void, void> {
  const { maxBad, onBroken, onProgress } = options;
  const broken =
    options.broken ??
    new BrokenImages(source.length, {
      lookOn: true,
      ...(maxBad === undefined ? {} : { maxBad }),
      ...(onBroken ? { onBroken } : {}),
    });
  const finite = new FiniteRows((index) => source.name(index));
  let done = 0;
  let pending: (() => Promise<FeatureBatch | undefined>) | undefined;
  for await (const group of groupsOf(extractor, source, { ...options, broken })) {
    if (broken.areTooMany) continue; // the rest is only looked through
    const read = await extractor.submit(group.map(({ image }) => image));
    const ready = await pending?.();
    pending = () => batchOf(group, read);
    if (ready) yield ready;
  }
  const last = await pending?.();
  if (!options.broken) broken.check();
  finite.check();
  if (last) yield last;
  if (done === 0 && !broken.areTooMany)
    throw new EvaluationError("features: no image could be read; see the errors of the single images");

  async function batchOf(group: readonly Waiting[], read: () => Promise<FeatureRows>) {
    const indices = group.map(({ index }) => index);
    const features = await finite.of(indices, read);
    done += indices.length;
    onProgress?.(done);
    return features && finite.areFinite ? { features, indices, labels: group.map(({ label }) => label) } : undefined;
  }
}

/** Images in groups that one run takes. */
async function* groupsOf(
  extractor: FeatureExtractor,
  source: ImageSource,
  { batch = 32, prefetch = 1, broken, signal }: FeatureReadOptions & { readonly broken: BrokenImages },
): AsyncGenerator<readonly Waiting[], void, void> {
  let waiting: Waiting[] = [];
  const reading = { batchSize: batch, prefetch, ...extractor.decoding, signal, broken };
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
