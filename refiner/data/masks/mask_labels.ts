import { DataFormatError, DataOptionError } from "../errors.ts";
import { ignored, type LabelMap } from "./label_map.ts";
import type { IndexImage } from "./read_png_indices.ts";

/** How stored numbers become labels. */
export interface LabelRules {
  /** Added to a stored number; what falls below 0 is ignored. -1 where the number 0 means that nothing is stated. Default 0. */
  readonly offset?: number;
  /** Stored number that is ignored, before the offset. Default 255. */
  readonly ignore?: number;
  /** Classes; a label from here on is refused. Default: as many as any mask has. */
  readonly classes?: number;
}

const defaultIgnore = 255;
/** Each class is a row of every head's weights: masks with more numbers than this hold something else, such as depth or instances. */
export const mostClasses = 4096;

/**
 * Labels of a mask.
 *
 * @param name - of the file, for messages
 * @throws DataFormatError for a label that is no class; DataOptionError for rules that are not whole numbers
 */
export function labelsOfIndices({ width, height, data }: IndexImage, rules: LabelRules, name: string): LabelMap {
  const { offset = 0, ignore = defaultIgnore, classes = mostClasses } = rules;
  if (!Number.isInteger(offset) || !Number.isInteger(ignore))
    throw new DataOptionError(`masks: the offset ${offset} or the ignored number ${ignore} is not a whole number`);
  const labels = new Int32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const stored = data[i] ?? 0;
    const label = stored === ignore ? ignored : Math.max(ignored, stored + offset);
    if (label >= classes) throw outOfRange({ name, stored, place: `${i % width}, ${Math.floor(i / width)}` }, rules);
    labels[i] = label;
  }
  return { width, height, data: labels };
}

function outOfRange(
  { name, stored, place }: { readonly name: string; readonly stored: number; readonly place: string },
  { offset = 0, ignore = defaultIgnore, classes = mostClasses }: LabelRules,
): DataFormatError {
  return new DataFormatError(
    `mask: ${name} holds ${stored} at pixel ${place}, which is label ${stored + offset} of ${classes} classes; give more classes, the offset of the labels (now ${offset}), or the number that is to be ignored (now ${ignore})`,
  );
}
