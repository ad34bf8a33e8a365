export { type CorruptOptions, corruptImage, type JpegCodec } from "./corrupt.ts";
export { type CorruptedOptions, corruptedImages } from "./corrupted_images.ts";
export { type CorruptionDraws, corruptionDraws } from "./draws.ts";
export { type Corruption, corruptionLevels, corruptions, isCorruption } from "./levels.ts";
