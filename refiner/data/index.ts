export {
  batches,
  batchesOfEpochs,
  batchesPerEpoch,
  type EpochOptions,
  type EpochsOptions,
  type ImageBatch,
  orderedBatches,
  type ReadOptions,
} from "./batches.ts";
export { BrokenImages, type BrokenImagesOptions, defaultMaxBad } from "./broken_images.ts";
export { cifarImages } from "./cifar.ts";
export { subset, withClassNames } from "./derived_sources.ts";
export * from "./errors.ts";
export { idxImages, type NamedBytes } from "./idx.ts";
export type { DecodeOptions, EncodedImage, ImageDecoder, ImageSource, LoadOptions, RgbImage } from "./image_source.ts";
export { collectImages, imagesInMemory, type LabelledImage, type MemoryOptions } from "./in_memory.ts";
export { epochOrder } from "./permutation.ts";
export { streamBatches } from "./stream_batches.ts";
