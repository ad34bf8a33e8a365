/** Sizes, labels or options that an evaluation cannot work with. */
export class EvaluationError extends Error {
  override name = "EvaluationError";
}
