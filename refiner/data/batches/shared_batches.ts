import { z } from "zod";
import { BrokenImages } from "../decoding/broken_images.ts";
import { BrokenImageError } from "../errors.ts";
import type { ImageSource, LoadOptions, RgbImage } from "../image_source.ts";
import { batchesPerEpoch, type EpochsOptions, type ImageBatch, orderOfBatches, replacement } from "./batches.ts";
import { prefetched } from "./prefetch.ts";
import { RandomStream } from "./shuffle_random.ts";

/** How several processes share batches. */
export interface BatchSharing {
  /** Of this process, from 0; `size` processes divide the batch. */
  readonly rank: number;
  readonly size: number;
  /** Tells all processes a text. @returns the texts of all, in their order */
  readonly share: (text: string) => Promise<readonly string[]>;
}

type Loaded = RgbImage | BrokenImageError;

/** An own part of a batch, with what became of each of its images. */
interface Part {
  readonly position: number;
  /** Of the whole batch. */
  readonly planned: Uint32Array;
  readonly loaded: Loaded[];
}

const brokenSchema = z.array(z.object({ slot: z.int(), name: z.string(), reason: z.string() }));
type BrokenSlot = z.output<typeof brokenSchema>[number];

/**
 * The batches of `batchesOfEpochs`, of which this process decodes its part ahead of time. Broken images are replaced when their
 * batch is due, by all processes alike, since the replacement depends on all broken ones.
 *
 * @throws TooFewImagesError if the source has less than one batch
 * @throws TooManyBrokenImagesError above `maxBad`, in all processes
 */
export async function* sharedBatches(
  source: ImageSource,
  options: EpochsOptions,
  sharing: BatchSharing,
): AsyncGenerator<ImageBatch, void, void> {
  const { first, end, prefetch = 2 } = options;
  const reader = new SharedReader(source, options, sharing);
  const load = (position: number, signal: AbortSignal): Promise<Part> => reader.load(position, signal);
  for await (const part of prefetched({ first, end }, prefetch, load, options.signal)) {
    await reader.repair(part);
    yield reader.batchOf(part);
  }
}

/** Reads one process's part of each batch. */
class SharedReader {
  readonly #broken: BrokenImages;
  readonly #plan: (position: number) => Uint32Array;
  readonly #count: number;
  /** Place of the own part within a batch. */
  readonly #from: number;

  constructor(
    readonly source: ImageSource,
    readonly options: EpochsOptions,
    readonly sharing: BatchSharing,
  ) {
    this.#broken = options.broken ?? new BrokenImages(source.length, options);
    this.#plan = orderOfBatches(source, options);
    this.#count = options.batchSize / sharing.size;
    this.#from = sharing.rank * this.#count;
  }

  async load(position: number, signal: AbortSignal): Promise<Part> {
    const planned = this.#plan(position);
    const own = Array.from(planned.subarray(this.#from, this.#from + this.#count));
    // All are settled before an error is passed on: none may outlive the batch.
    const tried = await Promise.allSettled(own.map((index) => this.#loadOne(index, { signal })));
    const loaded = tried.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
    return { position, planned, loaded };
  }

  async #loadOne(index: number, options: LoadOptions = {}): Promise<Loaded> {
    const { resizeTo, maxPixels } = this.options;
    return this.source.load(index, { ...options, resizeTo, maxPixels }).catch((error: unknown) => {
      if (error instanceof BrokenImageError) return error;
      throw error;
    });
  }

  /** Replaces what is broken in any part of the batch, slot after slot. */
  async repair({ position, planned, loaded }: Part): Promise<void> {
    const told = await this.#tell(brokenSlots(loaded, this.#from));
    for (const { slot, name, reason } of told) this.#broken.add(planned[slot] ?? 0, new BrokenImageError(name, reason));
    const taken = new Set(planned);
    const random = new RandomStream(this.options.seed, "replacement of a broken image", position);
    for (const { slot } of told) {
      let index = replacement(this.source.length, taken, random);
      while (!(await this.#takes(index, slot, loaded))) index = replacement(this.source.length, taken, random);
      planned[slot] = index;
    }
  }

  /** Whether an image is whole, which the process finds out whose slot it is for. */
  async #takes(index: number, slot: number, loaded: Loaded[]): Promise<boolean> {
    if (this.#broken.has(index)) return false;
    const place = slot - this.#from;
    const image = place >= 0 && place < this.#count ? await this.#loadOne(index) : undefined;
    const [failed] = await this.#tell(image ? brokenSlots([image], slot) : []);
    if (failed) this.#broken.add(index, new BrokenImageError(failed.name, failed.reason));
    else if (image) loaded[place] = image;
    return failed === undefined;
  }

  batchOf({ position, planned, loaded }: Part): ImageBatch {
    const { source, options } = this;
    return {
      number: position % batchesPerEpoch(source.length, options.batchSize),
      images: loaded.flatMap((image) => (image instanceof BrokenImageError ? [] : [image])),
      indices: planned,
      labels: Int32Array.from(planned, (index) => source.label(index) ?? -1),
      first: this.#from,
    };
  }

  /** @returns the broken slots of all processes, in their order */
  async #tell(own: readonly BrokenSlot[]): Promise<BrokenSlot[]> {
    const texts = await this.sharing.share(own.length === 0 ? "" : JSON.stringify(own));
    return texts.flatMap((text) => (text === "" ? [] : brokenSchema.parse(JSON.parse(text))));
  }
}

function brokenSlots(loaded: readonly Loaded[], from: number): BrokenSlot[] {
  return loaded.flatMap((image, i) =>
    image instanceof BrokenImageError ? [{ slot: from + i, name: image.imageName, reason: image.reason }] : [],
  );
}

/** A batch as views see it: with the places of those images only that this process has. */
export function ownPart(batch: ImageBatch): ImageBatch {
  const { first, indices, images } = batch;
  return first === undefined ? batch : { ...batch, indices: indices.subarray(first, first + images.length) };
}
