import { BrokenImages, type BrokenImagesOptions } from "../decoding/broken_images.ts";
import { DataOptionError, TooFewImagesError } from "../errors.ts";
import type { ImageSource, LoadOptions, RgbImage } from "../image_source.ts";
import { epochOrder } from "./permutation.ts";
import { prefetched } from "./prefetch.ts";
import { RandomStream } from "./shuffle_random.ts";

export interface ImageBatch {
  /** Number of the batch within its epoch or pass, from 0. */
  readonly number: number;
  readonly images: readonly RgbImage[];
  /** Place of each image in the source. */
  readonly indices: Uint32Array;
  /** Class of each image, -1 where it has none. */
  readonly labels: Int32Array;
  /** Place of the first of `images` in a batch that several processes share; indices and labels are then of the whole batch. */
  readonly first?: number;
}

export interface ReadOptions extends BrokenImagesOptions {
  readonly batchSize: number;
  /** Batches decoded ahead of the one in use; memory holds `prefetch + 1` batches of decoded images. */
  readonly prefetch?: number;
  readonly resizeTo?: number;
  readonly maxPixels?: number;
  /** A count to go on with, for instance that of the epochs before; else `maxBad` and `onBroken` make a new one. */
  readonly broken?: BrokenImages;
  readonly signal?: AbortSignal;
}

export interface EpochOptions extends ReadOptions {
  readonly seed: number;
  /** From 0; each epoch has its own order. */
  readonly epoch: number;
  /** Number of the first batch wanted, to go on within an epoch. */
  readonly firstBatch?: number;
}

/** Batches of an epoch: the last, incomplete one is dropped (`floor(N / B)`). */
export function batchesPerEpoch(length: number, batchSize: number): number {
  return Math.floor(length / batchSize);
}

/**
 * One epoch for training: full batches in a fresh order. What a batch holds depends on seed, epoch, its number and
 * the files only: not on workers, timing, prefetch, or the batch begun with. A broken image is replaced by another
 * of the epoch, drawn from the same seed, so that the number of updates stays as planned.
 *
 * @throws TooFewImagesError if the source has less than one batch
 * @throws TooManyBrokenImagesError above `maxBad`
 */
export function batches(source: ImageSource, options: EpochOptions): AsyncGenerator<ImageBatch, void, void> {
  const { epoch, firstBatch = 0, ...rest } = options;
  const perEpoch = batchesPerEpoch(source.length, options.batchSize);
  return batchesOfEpochs(source, { ...rest, first: epoch * perEpoch + firstBatch, end: (epoch + 1) * perEpoch });
}

export interface EpochsOptions extends ReadOptions {
  readonly seed: number;
  /** Batches to read, counted over all epochs: batch `n` is number `n % batchesPerEpoch` of epoch `floor(n / batchesPerEpoch)`. */
  readonly first: number;
  readonly end: number;
}

/**
 * Several epochs in a row, each as `batches` gives it; the first batches of an epoch are decoded while the last ones of the epoch
 * before are in use.
 *
 * @throws TooFewImagesError if the source has less than one batch
 * @throws TooManyBrokenImagesError above `maxBad`
 */
export function batchesOfEpochs(source: ImageSource, options: EpochsOptions): AsyncGenerator<ImageBatch, void, void> {
  const { seed, first, end, batchSize, resizeTo, maxPixels } = options;
  const { prefetch, broken } = checked(source, options);
  const plan = orderOfBatches(source, options);
  const load = async (position: number, signal: AbortSignal): Promise<ImageBatch> => {
    const number = position % batchesPerEpoch(source.length, batchSize);
    const planned = plan(position);
    const loaded = await loadAll(source, planned, broken, { resizeTo, maxPixels, signal });
    const taken = new Set(planned);
    const random = new RandomStream(seed, "replacement of a broken image", position);
    for (let slot = 0; slot < batchSize; slot++) {
      while (loaded[slot] === undefined) {
        const index = replacement(source.length, taken, random);
        const [image] = await loadAll(source, Uint32Array.of(index), broken, { resizeTo, maxPixels, signal });
        loaded[slot] = image;
        planned[slot] = index;
      }
    }
    return assemble(source, number, planned, loaded);
  };
  return prefetched({ first, end }, prefetch, load, options.signal);
}

/**
 * The images of each batch, counted over all epochs.
 *
 * @throws TooFewImagesError if the source has less than one batch
 */
export function orderOfBatches(
  source: ImageSource,
  { batchSize, seed }: Pick<EpochsOptions, "batchSize" | "seed">,
): (position: number) => Uint32Array {
  if (source.length < batchSize) {
    throw new TooFewImagesError(
      `batches: the data set has ${source.length} images, less than one batch of ${batchSize}; ` +
        `add images or choose a batch of at most ${source.length}`,
    );
  }
  const perEpoch = batchesPerEpoch(source.length, batchSize);
  let current: { epoch: number; order: Uint32Array } = { epoch: -1, order: new Uint32Array() };
  return (position) => {
    const [epoch, number] = [Math.floor(position / perEpoch), position % perEpoch];
    if (current.epoch !== epoch) current = { epoch, order: epochOrder(source.length, seed, epoch) };
    return current.order.slice(number * batchSize, (number + 1) * batchSize);
  };
}

/**
 * Every image once, in the order of the source, for evaluation. The last batch may be smaller;
 * broken images are left out, so batches may be smaller by these, or even empty.
 *
 * @throws TooManyBrokenImagesError above `maxBad`
 */
export function orderedBatches(source: ImageSource, options: ReadOptions): AsyncGenerator<ImageBatch, void, void> {
  const { batchSize } = options;
  const { prefetch, broken } = checked(source, options);
  const end = Math.ceil(source.length / batchSize);
  const { resizeTo, maxPixels } = options;
  const load = async (number: number, signal: AbortSignal): Promise<ImageBatch> => {
    const first = number * batchSize;
    const length = Math.min(batchSize, source.length - first);
    const planned = Uint32Array.from({ length }, (_, slot) => first + slot);
    const loaded = await loadAll(source, planned, broken, { resizeTo, maxPixels, signal });
    return assemble(source, number, planned, loaded);
  };
  return prefetched({ first: 0, end }, prefetch, load, options.signal);
}

function checked(source: ImageSource, options: ReadOptions) {
  const { batchSize, prefetch = 2, broken = new BrokenImages(source.length, options) } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new DataOptionError(`batches: batchSize is ${batchSize}; give a whole number of images, 1 or more`);
  }
  if (!Number.isInteger(prefetch) || prefetch < 0) {
    throw new DataOptionError(`batches: prefetch is ${prefetch}; give a whole number of batches, 0 or more`);
  }
  return { prefetch, broken };
}

// Undefined where the image is broken. All are settled before an error is passed on: none may outlive the batch.
async function loadAll(
  source: ImageSource,
  indices: Uint32Array,
  broken: BrokenImages,
  options: LoadOptions,
): Promise<(RgbImage | undefined)[]> {
  const tried = await Promise.allSettled(
    Array.from(indices, (index) => (broken.has(index) ? undefined : source.load(index, options))),
  );
  return tried.map((result, slot) => {
    if (result.status === "fulfilled") return result.value;
    broken.add(indices[slot] ?? 0, result.reason);
    return undefined;
  });
}

// Not yet in the batch, since a batch with an image twice would have a false negative; marks what it returns.
export function replacement(length: number, taken: Set<number>, random: RandomStream): number {
  if (taken.size === length) {
    throw new TooFewImagesError(
      `batches: too few of the ${length} images are whole to replace a broken one in a batch; remove broken files or choose a smaller batch`,
    );
  }
  let index = random.below(length);
  while (taken.has(index)) index = (index + 1) % length;
  taken.add(index);
  return index;
}

function assemble(
  source: ImageSource,
  number: number,
  indices: Uint32Array,
  loaded: readonly (RgbImage | undefined)[],
): ImageBatch {
  const whole = indices.filter((_, slot) => loaded[slot] !== undefined);
  const images = loaded.filter((image) => image !== undefined);
  return { number, images, indices: whole, labels: Int32Array.from(whole, (index) => source.label(index) ?? -1) };
}
