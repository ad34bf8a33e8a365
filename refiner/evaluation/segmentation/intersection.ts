import { EvaluationError } from "../core/errors.ts";

/** How often each class (row) was predicted as each class (column), in pixels. */
export interface PixelConfusion {
  readonly classes: number;
  /** `[label, prediction]` */
  readonly counts: Float64Array;
}

export function emptyConfusion(classes: number): PixelConfusion {
  return { classes, counts: new Float64Array(classes * classes) };
}

/**
 * Counts pixels; those with a label below 0 are left out.
 *
 * @param classOf - predicted class of each group of pixels
 * @param groups - group of each pixel; absent where each is its own
 * @throws EvaluationError for a label that is no class
 */
export function addPixels(
  { classes, counts }: PixelConfusion,
  labels: ArrayLike<number>,
  classOf: ArrayLike<number>,
  groups?: ArrayLike<number>,
): void {
  for (let pixel = 0; pixel < labels.length; pixel++) {
    const label = labels[pixel] ?? -1;
    if (label < 0) continue;
    if (label >= classes)
      throw new EvaluationError(
        `segmentation: label ${label} is none of ${classes} classes; give masks with labels up to ${classes - 1}`,
      );
    const place = label * classes + (classOf[groups ? (groups[pixel] ?? 0) : pixel] ?? 0);
    counts[place] = (counts[place] ?? 0) + 1;
  }
}

/** Intersection over union. */
export interface IntersectionScores {
  /** Mean over the classes that occur in labels or predictions; one that is only predicted counts as 0. */
  readonly mean: number;
  /** Of the sums over all classes. */
  readonly micro: number;
  /** Per class; null for one that occurs nowhere. */
  readonly perClass: readonly (number | null)[];
  /** Share of labelled pixels that are right. */
  readonly pixelAccuracy: number;
}

/**
 * Intersection over union of a whole set: true positives / (true positives + false positives + false negatives), from one table.
 *
 * @throws EvaluationError for an empty table: no pixel had a label
 */
export function intersectionScores({ classes, counts }: PixelConfusion): IntersectionScores {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0)
    throw new EvaluationError(
      "segmentation: no pixel has a label, all are ignored; look at the masks and at the offset of their labels",
    );
  const place = (label: number, prediction: number): number => counts[label * classes + prediction] ?? 0;
  let [hits, unions] = [0, 0];
  const perClass = Array.from({ length: classes }, (_, c) => {
    const hit = place(c, c);
    let union = -hit;
    for (let other = 0; other < classes; other++) union += place(c, other) + place(other, c);
    hits += hit;
    unions += union;
    return union === 0 ? null : hit / union;
  });
  const occurring = perClass.filter((value) => value !== null);
  return {
    mean: occurring.reduce((sum, value) => sum + value, 0) / occurring.length,
    micro: hits / unions,
    perClass,
    pixelAccuracy: hits / total,
  };
}
