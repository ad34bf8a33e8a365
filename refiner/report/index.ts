export { ReportError } from "./errors.ts";
export { type ReportData, type ReportPicture, type RunRecord, reportDataSchema } from "./report_data.ts";
export { type KnnLine, parseMetrics, type RunMetrics, type UpdateLine } from "./run_metrics.ts";
export { writeReport } from "./write_report.ts";
