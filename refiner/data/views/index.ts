export { type ImageSize, randomCrop } from "./crops.ts";
export { type DrawOptions, drawViewParameters, evaluationParameters, type ViewSample } from "./draw_views.ts";
export { BatchCapacityError, type PackedImages, packedImages, packImages } from "./pack_pixels.ts";
export { type Box, type JitterStep, type ViewParameters, viewWords, writeParameters } from "./parameter_table.ts";
export { type ViewOperands, type Views, views } from "./render_views.ts";
export {
  checkViewConfig,
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
  type RefineViewOptions,
  refineViews,
  secondGlobalView,
  smallImageViews,
} from "./view_presets.ts";
