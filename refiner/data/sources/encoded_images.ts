import { NoImagesError } from "../errors.ts";
import type { EncodedImage, ImageDecoder, ImageSource } from "../image_source.ts";
import { type ClassLabels, classLabels, type StatedClass } from "./class_labels.ts";

/** One compressed image of a data set. */
export interface ImageRecord {
  readonly name: string;
  readonly class: StatedClass;
  readonly encoded: EncodedImage;
}

/**
 * A data set of compressed images, decoded when asked for.
 *
 * @param origin - what the records were read from, for messages
 * @param decoder - closed with the source
 * @throws NoImagesError without records
 */
export function encodedImages(
  origin: string,
  records: readonly ImageRecord[],
  decoder: ImageDecoder,
  { channels = 3, notices = [] }: { readonly channels?: 1 | 3; readonly notices?: readonly string[] } = {},
): ImageSource {
  if (records.length === 0)
    throw new NoImagesError(`images: ${origin} holds no image; give a folder, archive or list of images`);
  const { labels, classNames }: ClassLabels = classLabels(records.map((record) => record.class));
  const at = (index: number): ImageRecord => {
    const record = records[index];
    if (record === undefined)
      throw new RangeError(`images: ${index} is not within 0 … ${records.length - 1} of ${origin}`);
    return record;
  };
  const unlabelled = labels.filter((label) => label < 0).length;
  const partly = unlabelled > 0 && unlabelled < records.length;
  return {
    length: records.length,
    channels,
    classNames,
    notices: [
      ...notices,
      ...(partly ? [`${unlabelled} of ${records.length} images of ${origin} have no label`] : []),
      ...alikeNotices(origin, classNames ?? []),
    ],
    label: (index) => {
      const label = labels[index] ?? -1;
      return label < 0 ? undefined : label;
    },
    name: (index) => at(index).name,
    load: async (index, options) => {
      const { name, encoded } = at(index);
      return decoder.decode(name, encoded, { ...options, channels });
    },
    close: () => decoder.close(),
  };
}

/** Names that differ only in case, spaces or Unicode form are classes of their own, which may not have been meant. */
function alikeNotices(origin: string, classNames: readonly string[]): string[] {
  const looks = new Map<string, string>();
  const pairs: string[] = [];
  for (const name of classNames) {
    const look = name.normalize("NFKC").toLowerCase().replace(/\s+/g, " ").trim();
    const other = looks.get(look);
    if (other === undefined) looks.set(look, name);
    else pairs.push(`${JSON.stringify(other)} and ${JSON.stringify(name)}`);
  }
  const [first] = pairs;
  if (first === undefined) return [];
  const more = pairs.length > 1 ? `, and ${pairs.length - 1} more pairs` : "";
  return [`classes of ${origin} look alike and are kept apart: ${first}${more}; rename them if they are one`];
}
