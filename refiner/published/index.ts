export type { DataSetTraits } from "./data_sets.ts";
export { type JudgedEncoder, labelShareMeasure, type PublishedBeside, publishedBeside } from "./published_beside.ts";
export {
  type PublishedDataSet,
  type PublishedFigure,
  type PublishedMeasure,
  type PublishedProtocol,
  type PublishedShape,
  publishedDataSets,
  publishedFigures,
  publishedSource,
} from "./published_figures.ts";
export type { JudgedSettings } from "./published_settings.ts";
