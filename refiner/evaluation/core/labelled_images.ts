import type { ImageSource } from "../../data/image_source.ts";
import { className, subset } from "../../data/sources/derived_sources.ts";
import { EvaluationError } from "./errors.ts";

/** Training and test images of a classification, with the classes that can be learned counted from 0 without gaps. */
export interface LabelledImages {
  readonly train: ImageSource;
  readonly test: ImageSource;
  /** By label: the classes that occur among the training images, in the order of their labels. */
  readonly classNames: readonly string[];
  /** Place in the given test images of each one that is kept. */
  readonly testIndices: Uint32Array;
  /** What is left out, and classes that one side lacks, in words. */
  readonly notices: readonly string[];
}

/**
 * Leaves out what has no label, and numbers the classes anew: only those that occur among the training images can be predicted,
 * so there are never more classes than images. Test images of other classes are left out by the labels that they were given
 * (`withLabelsOf`).
 *
 * @throws EvaluationError if either side has no labelled image, or the training images have one class only
 */
export function labelledImages(operation: string, train: ImageSource, test: ImageSource): LabelledImages {
  const stated = (source: ImageSource) => Int32Array.from({ length: source.length }, (_, i) => source.label(i) ?? -1);
  const labels = { training: stated(train), test: stated(test) };
  for (const [side, list] of Object.entries(labels)) {
    if (list.some((label) => label >= 0)) continue;
    throw new EvaluationError(
      `${operation}: no ${side} image has a label; use a folder with one subfolder per class, or a list with labels`,
    );
  }
  const occurring = [...new Set(labels.training)].filter((label) => label >= 0).sort((a, b) => a - b);
  const [only = -1] = occurring;
  if (occurring.length === 1)
    throw new EvaluationError(
      `${operation}: all training images are of one class, ${className(train, only)}; there is nothing to tell apart: give images of at least two classes`,
    );
  const places = new Map(occurring.map((label, place) => [label, place]));
  const kept = (list: Int32Array) => Uint32Array.from(list.keys()).filter((i) => places.has(list[i] ?? -1));
  const [trainIndices, testIndices] = [kept(labels.training), kept(labels.test)];
  if (testIndices.length === 0)
    throw new EvaluationError(
      `${operation}: no test image is of a class of the training images; name classes alike in both`,
    );
  const tested = new Set(Array.from(testIndices, (i) => labels.test[i]));
  const untested = occurring.filter((label) => !tested.has(label)).map((label) => className(train, label));
  const leftOut = [
    ["training", train.length - trainIndices.length],
    ["test", test.length - testIndices.length],
  ].flatMap(([side, count]) =>
    count === 0 ? [] : [`${count} ${side} images without a class that is learned are left out`],
  );
  const missing =
    untested.length === 0
      ? []
      : [`${untested.length} of ${occurring.length} classes have no test image: ${listed(untested)}`];
  return {
    train: numbered(train, trainIndices, places),
    test: numbered(test, testIndices, places),
    classNames: occurring.map((label) => className(train, label)),
    testIndices,
    notices: [...leftOut, ...missing],
  };
}

/** Places in the given test images of some of those that are kept. @throws RangeError for one that is not there */
export function placesOfTest(
  { testIndices }: Pick<LabelledImages, "testIndices">,
  kept: ArrayLike<number>,
): Uint32Array {
  return Uint32Array.from(kept, (index) => {
    const place = testIndices[index];
    if (place === undefined)
      throw new RangeError(`labelled images: there is no test image ${index}; ${testIndices.length} are kept`);
    return place;
  });
}

function numbered(source: ImageSource, indices: Uint32Array, places: ReadonlyMap<number, number>): ImageSource {
  const chosen = subset(source, indices);
  return { ...chosen, label: (index) => places.get(chosen.label(index) ?? -1) };
}

function listed(names: readonly string[]): string {
  return names.length > 8 ? `${names.slice(0, 8).join(", ")}, …` : names.join(", ");
}
