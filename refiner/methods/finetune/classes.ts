import { OptionError } from "../../../engine/index.ts";
import { className, type ImageSource, occurringClasses, subset } from "../../data/index.ts";

/** The images that have a label, and what to tell of the others. @throws OptionError if none has one */
export function labelledImages(source: ImageSource): { readonly images: ImageSource; readonly notices: string[] } {
  const labelled = Array.from({ length: source.length }, (_, index) => index).filter(
    (index) => source.label(index) !== undefined,
  );
  const missing = source.length - labelled.length;
  if (missing === 0) return { images: source, notices: [] };
  if (labelled.length === 0)
    throw new OptionError(
      "finetune: no image has a label; give a folder per class, a list with labels, or a set that has them",
    );
  return {
    images: subset(source, labelled),
    notices: [`${missing} of ${source.length} images have no label and are left out`],
  };
}

/**
 * The classes that a classifier of these images tells apart: all that the source names, or numbers up to the largest label.
 *
 * @throws OptionError if the images are all of one class
 */
export function classesOf(source: ImageSource): { readonly classNames: readonly string[]; readonly notices: string[] } {
  const occurring = occurringClasses(source);
  if (occurring.size < 2)
    throw new OptionError(
      `finetune: all images are of one class (${[...occurring.values()].join()}); a classifier needs at least 2`,
    );
  const highest = [...occurring.keys()].reduce((most, label) => Math.max(most, label), -1);
  const count = source.classNames?.length ?? highest + 1;
  const classNames = Array.from({ length: count }, (_, label) => className(source, label));
  const empty = classNames.filter((_, label) => !occurring.has(label));
  const some = empty.slice(0, 5).join(", ");
  const notices =
    empty.length > 0
      ? [`${empty.length} of ${count} classes have no images: ${some}${empty.length > 5 ? ", …" : ""}`]
      : [];
  return { classNames, notices };
}
