import type { TestPredictions } from "../../refiner/evaluation/index.ts";
import type { ProtocolResult } from "./protocol.ts";

/**
 * Of every test image the share of its forms, such as corruptions, that were classified rightly; undefined where not all forms are there of
 * the same images.
 */
export function rightFormsOf(plain: TestPredictions, forms: readonly TestPredictions[]): Float64Array | undefined {
  const isSame = ({ indices, labels }: TestPredictions): boolean =>
    indices.length === plain.indices.length &&
    indices.every((index, i) => index === plain.indices[i] && labels[i] === plain.labels[i]);
  if (forms.length === 0 || !forms.every(isSame)) return undefined;
  const isRight = (i: number) => (form: TestPredictions) => form.predicted[i] === plain.labels[i];
  return Float64Array.from(plain.indices, (_, i) => forms.filter(isRight(i)).length / forms.length);
}

/** Predictions of the plain images, and where their forms are known what the score of that name is the mean of. */
export function told(
  plain: TestPredictions,
  score: string,
  rightForms: Float64Array | undefined,
): Pick<ProtocolResult, "predictions" | "parts"> {
  if (!rightForms) return { predictions: plain };
  return {
    predictions: { ...plain, rightForms },
    parts: { kind: "shares", shares: new Map([[score, rightForms]]) },
  };
}
