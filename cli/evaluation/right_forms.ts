import type { ImageSource } from "../../refiner/data/index.ts";
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

/**
 * Predictions of `forms` by the places that their images, told by class folder and file, have among the plain ones: a folder may sort its
 * files otherwise. An image whose name says nothing is taken to stand where it does.
 */
export function placedAs(plain: ImageSource, forms: ImageSource, predictions: TestPredictions): TestPredictions {
  const ending = (name: string): string => name.split(/[/\\]/).slice(-2).join("/");
  const places = new Map(Array.from({ length: plain.length }, (_, i) => [ending(plain.name(i)), i]));
  return { ...predictions, indices: predictions.indices.map((i) => places.get(ending(forms.name(i))) ?? i) };
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
