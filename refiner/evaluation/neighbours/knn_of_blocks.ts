import type { Device } from "../../../engine/index.ts";
import type { VisionTransformer } from "../../../models/index.ts";
import { BrokenImages } from "../../data/decoding/broken_images.ts";
import type { ImageSource } from "../../data/image_source.ts";
import { type BlockFeatures, collectFeatures, type EncodeOptions } from "../features/encode_features.ts";
import type { FeatureBlock } from "../features/feature_blocks.ts";
import { FeatureExtractor } from "../features/feature_extractor.ts";
import { accuracy } from "./knn.ts";
import { type KnnOptions, knnPredictions, requireLabels } from "./knn_device.ts";

export interface KnnOfBlocksOptions extends KnnOptions, Omit<EncodeOptions, "onProgress"> {
  /** Images encoded so far, of training and test images together. */
  readonly onProgress?: (images: number, total: number) => void;
  /** Takes all training images as neighbours where there are fewer than `k`, and is called with their number; without it, that is an error. */
  readonly onSmallBank?: (images: number) => void;
}

/** k-NN accuracy along the encoder. */
export interface BlockAccuracies {
  /** Raw outputs of blocks (0-based), and the encoder's final output (`last`). */
  readonly blocks: readonly FeatureBlock[];
  /** Accuracy 0 … 1 per block. */
  readonly accuracy: readonly number[];
  readonly trainImages: number;
  readonly testImages: number;
  /** Predicted class of each test image, per block; -1 where no neighbour has a label. */
  readonly predicted: readonly Int32Array[];
  /** Class of each test image, -1 where it has none. */
  readonly testLabels: Int32Array;
  /** Place of each test image in its source; broken ones are left out. */
  readonly testIndices: Uint32Array;
}

/** Training and test images, encoded. */
export interface EncodedSides {
  readonly bank: BlockFeatures;
  readonly queries: BlockFeatures;
}

/**
 * k-NN accuracy of every block (or of the chosen ones), first to last, which is the encoder's final output: training images are the bank, test images the queries.
 *
 * Broken images are left out; `maxBad` is their share among training and test images together.
 *
 * @throws TooManyBrokenImagesError above `maxBad`, naming those of both sets
 * @throws NonFiniteFeaturesError if features are NaN or infinite
 * @throws EvaluationError if there are no labels or fewer training images than neighbours
 */
export async function knnOfBlocks(
  device: Device,
  model: VisionTransformer,
  train: ImageSource,
  test: ImageSource,
  options: KnnOfBlocksOptions = {},
): Promise<BlockAccuracies> {
  return knnOfFeatures(device, await encodeSides(model, train, test, options), options);
}

/**
 * Features of training and test images.
 *
 * @throws TooManyBrokenImagesError, NonFiniteFeaturesError as {@link knnOfBlocks}
 */
export async function encodeSides(
  model: VisionTransformer,
  train: ImageSource,
  test: ImageSource,
  options: Omit<KnnOfBlocksOptions, keyof KnnOptions | "onSmallBank"> = {},
): Promise<EncodedSides> {
  const { onProgress, ...rest } = options;
  const total = train.length + test.length;
  const broken = new BrokenImages(total, { ...rest, lookOn: true });
  const extractor = new FeatureExtractor(model, rest);
  const encoded = (source: ImageSource, first: number) =>
    collectFeatures(extractor, source, {
      ...rest,
      broken: broken.part(first),
      onProgress: (done) => onProgress?.(first + done, total),
    });
  const sides = async () => ({ bank: await encoded(train, 0), queries: await encoded(test, train.length) });
  const found = await sides().finally(() => extractor.destroy());
  broken.check();
  return found;
}

/**
 * k-NN accuracy of every block that was encoded.
 *
 * @throws EvaluationError if there are no labels or fewer training images than neighbours
 */
export async function knnOfFeatures(
  device: Device,
  { bank, queries }: EncodedSides,
  options: KnnOptions & Pick<KnnOfBlocksOptions, "onSmallBank"> = {},
): Promise<BlockAccuracies> {
  const { onSmallBank, k: wanted = 20, ...rest } = options;
  const k = onSmallBank ? Math.min(wanted, bank.labels.length) : wanted;
  if (k < wanted) onSmallBank?.(k);
  const given = { labels: bank.labels };
  requireLabels(given, queries);
  const predicted: Int32Array[] = [];
  for (const [i, features] of bank.features.entries()) {
    const testFeatures = queries.features[i];
    if (testFeatures)
      predicted.push(await knnPredictions(device, { ...given, features }, testFeatures, { ...rest, k }));
  }
  return {
    blocks: bank.blocks,
    accuracy: predicted.map((classes) => accuracy(classes, queries.labels)),
    trainImages: bank.labels.length,
    testImages: queries.labels.length,
    predicted,
    testLabels: queries.labels,
    testIndices: queries.indices,
  };
}
