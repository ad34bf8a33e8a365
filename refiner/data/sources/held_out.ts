import type { ImageSource } from "../image_source.ts";
import { subset } from "./derived_sources.ts";

/** Every which image is held out where no test images are given. */
export const heldOutEvery = 5;

/** Every fifth image, from the first, as test images, and the others for training. Closing either closes `source`. */
export function heldOut(source: ImageSource): { readonly train: ImageSource; readonly test: ImageSource } {
  const indices = Array.from({ length: source.length }, (_, index) => index);
  const isHeldOut = (index: number): boolean => index % heldOutEvery === 0;
  return {
    train: subset(
      source,
      indices.filter((index) => !isHeldOut(index)),
    ),
    test: subset(source, indices.filter(isHeldOut)),
  };
}
