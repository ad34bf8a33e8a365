import { hostPermutation } from "../../../engine/index.ts";
import { EvaluationError } from "./errors.ts";

/** Places of a list, apart in two. */
export interface StratifiedSplit {
  /** Ascending. */
  readonly kept: Uint32Array;
  /** Ascending. */
  readonly heldOut: Uint32Array;
}

/**
 * Holds out a share of every class, drawn at random from the seed: the share of its images to the nearest whole number (a half
 * counts up), but never the last one, so that every class can still be learned.
 *
 * @param labels - classes from 0 on
 * @throws EvaluationError for a share outside 0 … 1, or if no class has enough images for one to be held out
 */
export function stratifiedSplit(labels: ArrayLike<number>, share: number, seed: number): StratifiedSplit {
  if (!(share > 0 && share < 1))
    throw new EvaluationError(`held-out images: the share is ${share}; give one between 0 and 1, such as 0.1`);
  const classes = new Map<number, number[]>();
  for (let index = 0; index < labels.length; index++) {
    const label = labels[index] ?? -1;
    const list = classes.get(label) ?? [];
    classes.set(label, list);
    list.push(index);
  }
  const isHeldOut = new Uint8Array(labels.length);
  for (const [label, images] of classes) {
    const count = Math.min(images.length - 1, Math.round(share * images.length));
    const order = hostPermutation(images.length, { seed, purpose: "held-out images", step: label });
    for (const place of order.subarray(0, count)) isHeldOut[images[place] ?? 0] = 1;
  }
  const all = Uint32Array.from({ length: labels.length }, (_, i) => i);
  const split = { kept: all.filter((i) => !isHeldOut[i]), heldOut: all.filter((i) => isHeldOut[i] === 1) };
  if (split.heldOut.length === 0)
    throw new EvaluationError(
      `held-out images: no class has enough images for a share of ${share}; give more images, a larger share, or choose on the test images and say so`,
    );
  return split;
}
