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

/** Of every test image 1 where it was classified rightly, else 0: what an accuracy is the mean of. */
export function rightOf({ labels, predicted }: Pick<TestPredictions, "labels" | "predicted">): Float64Array {
  return Float64Array.from(labels, (label, i) => (label === predicted[i] ? 1 : 0));
}

/** Predictions of the plain images, and by the names of the scores what they are means of, where their forms are known. */
export function told(
  plain: TestPredictions,
  names: { readonly plain: string; readonly forms: string },
  rightForms: Float64Array | undefined,
): Pick<ProtocolResult, "predictions" | "parts"> {
  if (!rightForms) return { predictions: plain };
  const shares = new Map([[names.plain, rightOf(plain)]]).set(names.forms, rightForms);
  return { predictions: { ...plain, rightForms }, parts: { kind: "shares", shares } };
}
