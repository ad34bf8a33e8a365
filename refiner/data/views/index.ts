export {
  type AugmentAmount,
  type AugmentOperation,
  type AugmentStep,
  augmentAmount,
  augmentOperations,
  augmentWords,
  writeAugmentStep,
} from "./augment_steps.ts";
export { type ImageSize, randomCrop } from "./crops.ts";
export {
  augmentSteps,
  drawAugmentSteps,
  drawErasures,
  drawnStep,
  erasedBox,
  erasedSides,
  erasesImages,
} from "./draw_augmentations.ts";
export { type DrawOptions, drawViewParameters, evaluationParameters, type ViewSample } from "./draw_views.ts";
export {
  type Erasure,
  eraseImages,
  erasingNoise,
  erasureWords,
  writeErasure,
} from "./erase_images.ts";
export { BatchCapacityError, type PackedImages, packedImages, packImages } from "./pack_pixels.ts";
export { type Box, type JitterStep, type ViewParameters, viewWords, writeParameters } from "./parameter_table.ts";
export { type ViewOperands, type Views, views } from "./render_views.ts";
export {
  checkViewConfig,
  type ErasingNoise,
  type ErasingOptions,
  type RandAugmentOptions,
  type Range,
  type ViewConfig,
  type ViewGroup,
  type ViewOptions,
  viewDefaults,
} from "./view_config.ts";
export {
  evaluationViews,
  firstGlobalView,
  localView,
  plainView,
  pretrainViews,
  probeViews,
  publishedErasing,
  publishedRandAugment,
  type RefineViewOptions,
  refineViews,
  secondGlobalView,
  smallImageViews,
} from "./view_presets.ts";
