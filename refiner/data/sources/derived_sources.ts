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
    ...(source.notices ? { notices: source.notices } : {}),
    classNames: source.classNames,
    label: (index) => source.label(inner(index)),
    name: (index) => source.name(inner(index)),
    load: (index, options) => source.load(inner(index), options),
    close: async () => source.close?.(),
  };
}

/**
 * The same images with labels counted in `classNames`, matched by name. Images of other classes have no label.
 *
 * @throws DataFormatError if the source does not name its classes; see `withLabelsOf` for those that number them
 */
export function withClassNames(source: ImageSource, classNames: readonly string[]): ImageSource {
  if (source.classNames === undefined) {
    throw new DataFormatError(
      "withClassNames: the data set numbers its classes without naming them; compare labels as they are",
    );
  }
  const places = new Map(classNames.map((name, label) => [name, label]));
  return relabelled(source, classNames, new Map(source.classNames.map((name, label) => [label, places.get(name)])));
}

/** What a source calls a class: its name, or its number as text. */
export function className(source: Pick<ImageSource, "classNames">, label: number): string {
  return source.classNames?.[label] ?? String(label);
}

/** Names of the classes that occur, by label. */
export function occurringClasses(source: ImageSource): Map<number, string> {
  const classes = new Map<number, string>();
  for (let index = 0; index < source.length; index++) {
    const label = source.label(index);
    if (label !== undefined && !classes.has(label)) classes.set(label, className(source, label));
  }
  return new Map([...classes].sort(([a], [b]) => a - b));
}

/**
 * The same images with the labels of `reference`, matched by the text of the class: a test folder that lacks a class, or lists
 * them differently, becomes comparable with its training folder. Images of classes that the reference lacks have no label. Where
 * both number their classes without names, the numbers are the texts.
 *
 * @throws DataFormatError if both have labels and no class is common to both
 */
export function withLabelsOf(source: ImageSource, reference: ImageSource): ImageSource {
  const known = new Map([...occurringClasses(reference)].map(([label, name]) => [name, label]));
  const own = occurringClasses(source);
  const labels = new Map([...own].map(([label, name]) => [label, known.get(name)]));
  const missing = [...own.values()].filter((name) => !known.has(name));
  if (own.size > 0 && known.size > 0 && missing.length === own.size) {
    throw new DataFormatError(
      `classes: none of ${listed(own.values())} is among those of the other images, ${listed(known.keys())}; name classes alike in both`,
    );
  }
  const notice =
    missing.length > 0 ? [`${missing.length} classes have no counterpart and are left out: ${listed(missing)}`] : [];
  const notices = [...(source.notices ?? []), ...notice];
  return { ...relabelled(source, reference.classNames, labels), notices };
}

function relabelled(
  source: ImageSource,
  classNames: readonly string[] | undefined,
  labels: ReadonlyMap<number, number | undefined>,
): ImageSource {
  return {
    length: source.length,
    channels: source.channels,
    ...(source.largestBytes === undefined ? {} : { largestBytes: source.largestBytes }),
    ...(source.notices ? { notices: source.notices } : {}),
    ...(classNames ? { classNames } : {}),
    label: (index) => labels.get(source.label(index) ?? -1),
    name: (index) => source.name(index),
    load: (index, options) => source.load(index, options),
    close: async () => source.close?.(),
  };
}

function listed(names: Iterable<string>): string {
  const all = [...names];
  return all.length > 8 ? `${all.slice(0, 8).join(", ")}, … (${all.length})` : all.join(", ");
}
