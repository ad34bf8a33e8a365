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
export type { LabelMap } from "./masks/label_map.ts";
export type { LabelRules } from "./masks/mask_labels.ts";
export type { LabelledImageSource, MaskSource } from "./masks/mask_source.ts";
export { type IndexImage, readPngIndices } from "./masks/read_png_indices.ts";
export { encodePng, type PngPixels } from "./masks/write_png.ts";
export { cifarImages } from "./sources/cifar.ts";
export { className, occurringClasses, subset, withClassNames, withLabelsOf } from "./sources/derived_sources.ts";
export { idxImages, type NamedBytes } from "./sources/idx.ts";
export { collectImages, imagesInMemory, type LabelledImage, type MemoryOptions } from "./sources/in_memory.ts";
