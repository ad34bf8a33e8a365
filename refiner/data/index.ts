export {
  batches,
  batchesOfEpochs,
  batchesPerEpoch,
  type EpochOptions,
  type EpochsOptions,
  type ImageBatch,
  orderedBatches,
  type ReadOptions,
} from "./batches/batches.ts";
export { epochOrder } from "./batches/permutation.ts";
export { streamBatches } from "./batches/stream_batches.ts";
export * from "./corruptions/index.ts";
export { BrokenImages, type BrokenImagesOptions, defaultMaxBad } from "./decoding/broken_images.ts";
export * from "./errors.ts";
export type { DecodeOptions, EncodedImage, ImageDecoder, ImageSource, LoadOptions, RgbImage } from "./image_source.ts";
export { cifarImages } from "./sources/cifar.ts";
export { className, occurringClasses, subset, withClassNames, withLabelsOf } from "./sources/derived_sources.ts";
export { idxImages, type NamedBytes } from "./sources/idx.ts";
export { collectImages, imagesInMemory, type LabelledImage, type MemoryOptions } from "./sources/in_memory.ts";
