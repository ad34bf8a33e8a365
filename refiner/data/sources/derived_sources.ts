import { DataFormatError, DataOptionError } from "../errors.ts";
import type { ImageSource } from "../image_source.ts";

/**
 * The images of `source` at `indices`, in that order. Closing it closes `source`.
 *
 * @throws DataOptionError if an index is not one of the source
 */
export function subset(source: ImageSource, indices: ArrayLike<number>): ImageSource {
  const chosen = Uint32Array.from(indices);
  for (let place = 0; place < chosen.length; place++) {
    const index = indices[place] ?? -1;
    if (Number.isInteger(index) && index >= 0 && index < source.length) continue;
    throw new DataOptionError(
      `subset: index ${index} is not one of the ${source.length} images; give 0 … ${source.length - 1}`,
    );
  }
  const inner = (index: number): number => {
    const found = chosen[index];
    if (found === undefined) throw new RangeError(`subset: image ${index} is not within 0 … ${chosen.length - 1}`);
    return found;
  };
  return {
    length: chosen.length,
    channels: source.channels,
    ...(source.largestBytes === undefined ? {} : { largestBytes: source.largestBytes }),
    classNames: source.classNames,
    label: (index) => source.label(inner(index)),
    name: (index) => source.name(inner(index)),
    load: (index, options) => source.load(inner(index), options),
    close: async () => source.close?.(),
  };
}

/**
 * The same images with labels counted in `classNames`, matched by name: a test folder that lacks a class, or lists
 * them differently, becomes comparable with its training folder. Images of other classes have no label.
 *
 * @throws DataFormatError if the source does not name its classes
 */
export function withClassNames(source: ImageSource, classNames: readonly string[]): ImageSource {
  if (source.classNames === undefined) {
    throw new DataFormatError(
      "withClassNames: the data set numbers its classes without naming them; compare labels as they are",
    );
  }
  const labels = source.classNames.map((name) => {
    const label = classNames.indexOf(name);
    return label < 0 ? undefined : label;
  });
  return {
    length: source.length,
    channels: source.channels,
    ...(source.largestBytes === undefined ? {} : { largestBytes: source.largestBytes }),
    classNames,
    label: (index) => labels[source.label(index) ?? -1],
    name: (index) => source.name(index),
    load: (index, options) => source.load(index, options),
    close: async () => source.close?.(),
  };
}
