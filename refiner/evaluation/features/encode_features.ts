import { type Device, DeviceMixError } from "../../../engine/index.ts";
import type { VisionTransformer } from "../../../models/index.ts";
import type { ImageSource } from "../../data/image_source.ts";
import type { FeatureMatrix } from "../core/feature_matrix.ts";
import type { FeatureBlock } from "./feature_blocks.ts";
import { FeatureExtractor, type FeatureOptions } from "./feature_extractor.ts";
import { type FeatureReadOptions, streamFeatures } from "./stream_features.ts";

export interface EncodeOptions extends FeatureOptions, FeatureReadOptions {}

/** Features of images, a matrix per block. */
export interface BlockFeatures {
  readonly blocks: readonly FeatureBlock[];
  /** `[images, width]` per block, in the order of `blocks`; patch tokens stand one behind the other in the row of their image. */
  readonly features: readonly FeatureMatrix[];
  /** Class of each row, -1 where it has none. */
  readonly labels: Int32Array;
  /** Place of each row in the source; broken images are left out. */
  readonly indices: Uint32Array;
}

/**
 * Encodes every image once and keeps the features of the chosen blocks. Images are resized on the device (shorter side to
 * 256/224 of `imagePixels`, bicubic), cropped in the centre and normalised; those of exactly `imagePixels` stay as they are.
 *
 * @throws DeviceMixError if the model lives on another device
 * @throws OptionError for blocks or pooling that the model does not have
 * @throws TooManyBrokenImagesError, NonFiniteFeaturesError, EvaluationError as {@link streamFeatures}
 */
export async function encodeFeatures(
  device: Device,
  model: VisionTransformer,
  source: ImageSource,
  options: EncodeOptions = {},
): Promise<BlockFeatures> {
  if (model.device !== device)
    throw new DeviceMixError(
      "encodeFeatures: the model lives on another device; give the device that it was loaded on",
    );
  const extractor = new FeatureExtractor(model, options);
  try {
    return await collectFeatures(extractor, source, options);
  } finally {
    extractor.destroy();
  }
}

/**
 * All features of a source, for sets that fit into memory.
 *
 * @throws TooManyBrokenImagesError, NonFiniteFeaturesError, EvaluationError as {@link streamFeatures}
 */
export async function collectFeatures(
  extractor: FeatureExtractor,
  source: ImageSource,
  options: FeatureReadOptions = {},
): Promise<BlockFeatures> {
  const { blocks, width } = extractor;
  const rows = blocks.map(() => new Float32Array(source.length * width));
  const labels = new Int32Array(source.length);
  const indices = new Uint32Array(source.length);
  let count = 0;
  for await (const batch of streamFeatures(extractor, source, options)) {
    batch.features.forEach((values, i) => {
      rows[i]?.set(values, count * width);
    });
    labels.set(batch.labels, count);
    indices.set(batch.indices, count);
    count += batch.indices.length;
  }
  return {
    blocks,
    features: rows.map((data) => ({ rows: count, columns: width, data: data.subarray(0, count * width) })),
    labels: labels.subarray(0, count),
    indices: indices.subarray(0, count),
  };
}
