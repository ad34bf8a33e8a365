export { type AttentionReport, attentionPage } from "./attention_page.ts";
export { ReportError } from "./errors.ts";
export { type EvaluationData, evaluationDataSchema } from "./evaluation_data.ts";
export { evaluationPage } from "./evaluation_page.ts";
export type { EvaluationReport, ReportedDifference, ReportedShare } from "./evaluation_report.ts";
export {
  type Gallery,
  type GalleryOptions,
  type GalleryPicture,
  type GallerySide,
  nearestGalleries,
} from "./gallery.ts";
export { type PatchMap, patchMaps } from "./patch_maps.ts";
export { type PublishedTable, publishedTableSchema } from "./published_section.ts";
export { type ReportData, type ReportPicture, type RunRecord, reportDataSchema } from "./report_data.ts";
export { type KnnLine, parseMetrics, type RunMetrics, type TestLine, type UpdateLine } from "./run_metrics.ts";
export { writeReport } from "./write_report.ts";
