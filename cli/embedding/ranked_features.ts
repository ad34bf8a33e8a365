import { z } from "zod";
import { BrokenImageError, BrokenImages, type ImageSource, subset } from "../../refiner/data/index.ts";
import {
  EvaluationError,
  type FeatureBatch,
  type FeatureExtractor,
  streamFeatures,
} from "../../refiner/evaluation/index.ts";
import type { Exchange } from "../../refiner/exchange/exchange.ts";

/** Groups of decoded images that a rank works on between two meetings. */
const groups = 8;

const shareSchema = z.object({
  /** Places in the source, and classes, of the rows. */
  indices: z.array(z.int()),
  labels: z.array(z.int()),
  broken: z.array(z.object({ index: z.int(), name: z.string(), reason: z.string() })),
});
type Share = z.output<typeof shareSchema>;

export interface RankedReading {
  /** Images decoded together. */
  readonly batch: number;
  readonly maxBad: number;
  readonly onBroken: (error: Error) => void;
}

/**
 * The features that `streamFeatures` gives, computed by all ranks: each takes runs of the images in turn, and the first one gets all, in
 * the order of the source. The others get none.
 *
 * @throws what `streamFeatures` throws; of broken images at all ranks alike
 */
export async function* rankedFeatures(
  extractor: FeatureExtractor,
  source: ImageSource,
  reading: RankedReading,
  exchange: Exchange,
): AsyncGenerator<Pick<FeatureBatch, "features" | "indices" | "labels">, void, void> {
  if (exchange.size === 1) return yield* streamFeatures(extractor, source, reading);
  const { maxBad, onBroken } = reading;
  const broken = new BrokenImages(source.length, { lookOn: true, maxBad, onBroken });
  const run = groups * reading.batch;
  let rows = 0;
  for (let first = 0; first < source.length; first += run * exchange.size) {
    const own = await computed(extractor, source, reading, first + exchange.rank * run);
    const shares = (await exchange.share(JSON.stringify(own.share))).map((text) => shareSchema.parse(JSON.parse(text)));
    for (const [rank, share] of shares.entries()) {
      for (const { index, name, reason } of share.broken) broken.add(index, new BrokenImageError(name, reason));
      const features = await atFirst(rank, rank === exchange.rank ? own.features : undefined, {
        ...{ exchange, length: share.indices.length * extractor.width },
      });
      rows += share.indices.length;
      if (features && !broken.areTooMany) yield { features: [features], ...share };
    }
  }
  broken.check();
  if (rows === 0) throw new EvaluationError("features: no image could be read; see the errors of the single images");
}

/** The features of a rank, at the first one. */
async function atFirst(
  rank: number,
  own: Float32Array<ArrayBuffer> | undefined,
  { exchange, length }: { readonly exchange: Exchange; readonly length: number },
): Promise<Float32Array | undefined> {
  const isFirst = exchange.rank === 0;
  const values = own ?? (isFirst ? new Float32Array(length) : undefined);
  if (values && rank > 0 && length > 0) await exchange.pass(new Uint8Array(values.buffer), { from: rank, to: 0 });
  return isFirst ? values : undefined;
}

/** A run of images from one on, as far as there are any. */
async function computed(
  extractor: FeatureExtractor,
  source: ImageSource,
  { batch }: RankedReading,
  from: number,
): Promise<{ readonly share: Share; readonly features: Float32Array<ArrayBuffer> }> {
  const share: Share = { indices: [], labels: [], broken: [] };
  const places = Array.from(
    { length: Math.max(0, Math.min(groups * batch, source.length - from)) },
    (_, i) => from + i,
  );
  const parts: number[][] = [];
  const onBroken = (error: BrokenImageError, index: number): void => {
    share.broken.push({ index: from + index, name: error.imageName, reason: error.reason });
  };
  if (places.length === 0) return { share, features: new Float32Array() };
  try {
    for await (const one of streamFeatures(extractor, subset(source, places), { batch, maxBad: 1, onBroken })) {
      share.indices.push(...one.indices.map((index) => from + index));
      share.labels.push(...one.labels);
      parts.push(...one.features.map((values) => Array.from(values)));
    }
  } catch (error) {
    if (!(error instanceof EvaluationError) || share.broken.length < places.length) throw error; // others may be whole
  }
  return { share, features: Float32Array.from(parts.flat()) };
}
