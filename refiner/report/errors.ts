/** A run folder that no report can be made of. */
export class ReportError extends Error {
  override name = "ReportError";
}
