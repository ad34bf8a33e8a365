export {
  checkViewConfig,
  type Range,
  type ViewConfig,
  type ViewGroup,
  type ViewOptions,
  viewDefaults,
} from "./config.ts";
export { type ImageSize, randomCrop } from "./crops.ts";
export { type DrawOptions, drawViewParameters, evaluationParameters, type ViewSample } from "./draw.ts";
export { BatchCapacityError, type PackedImages, packedImages, packImages } from "./pack.ts";
export { type Box, type JitterStep, type ViewParameters, viewWords, writeParameters } from "./parameter_table.ts";
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
} from "./presets.ts";
export { type ViewOperands, type Views, views } from "./views.ts";
