import type { ImageSource } from "../../refiner/data/index.ts";
import { hits } from "../../refiner/evaluation/core/test_predictions.ts";
import type { TestPredictions } from "../../refiner/evaluation/index.ts";
import type { ProtocolResult } from "./protocol.ts";

/** What a form of the test images is compared by. */
export type FormPredictions = Pick<TestPredictions, "indices" | "labels" | "predicted">;

/**
 * Of every test image the share of its forms, such as corruptions, that were classified rightly; undefined where not all forms are there of
 * the same images.
 */
export function rightFormsOf(plain: TestPredictions, forms: readonly FormPredictions[]): Float64Array | undefined {
  const isSame = ({ indices, labels }: FormPredictions): boolean =>
    indices.length === plain.indices.length &&
    indices.every((index, i) => index === plain.indices[i] && labels[i] === plain.labels[i]);
  if (forms.length === 0 || !forms.every(isSame)) return undefined;
  const right = forms.map(hits);
  return Float64Array.from(plain.indices, (_, i) => right.filter((form) => form[i] === 1).length / forms.length);
}

/**
 * Predictions of `forms` by the places that their images, told by class folder and file, have among the plain ones, and in their order: a
 * folder may sort its files otherwise. An image whose name says nothing, or that of several images, is taken to stand where it does.
 */
export function placedAs(plain: ImageSource, forms: ImageSource, predictions: FormPredictions): FormPredictions {
  const places = placesByName(plain);
  const placed = Array.from(predictions.indices, (index, i) => ({
    place: places.get(shortName(forms.name(index))) ?? index,
    label: predictions.labels[i] ?? -1,
    predicted: predictions.predicted[i] ?? -1,
  })).sort((a, b) => a.place - b.place);
  return {
    indices: Uint32Array.from(placed, ({ place }) => place),
    labels: placed.map(({ label }) => label),
    predicted: placed.map(({ predicted }) => predicted),
  };
}

/** Undefined for a name of several images. */
function placesByName(source: ImageSource): ReadonlyMap<string, number | undefined> {
  const places = new Map<string, number | undefined>();
  for (let i = 0; i < source.length; i++) {
    const name = shortName(source.name(i));
    places.set(name, places.has(name) ? undefined : i);
  }
  return places;
}

/** Class folder and file. */
function shortName(path: string): string {
  return path.split(/[/\\]/).slice(-2).join("/");
}

/** Predictions of the plain images, and by the names of the scores what they are means of, where their forms are known. */
export function told(
  plain: TestPredictions,
  names: { readonly plain: string; readonly forms: string },
  rightForms: Float64Array | undefined,
): Pick<ProtocolResult, "predictions" | "parts"> {
  if (!rightForms) return { predictions: plain };
  const shares = new Map([[names.plain, hits(plain)]]).set(names.forms, rightForms);
  return { predictions: { ...plain, rightForms }, parts: { kind: "shares", shares } };
}
