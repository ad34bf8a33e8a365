import { type ImageSource, occurringClasses, withLabelsOf } from "../../refiner/data/index.ts";
import { type OpenImagesOptions, openImages } from "../../refiner/data/index_node.ts";
import type { Output } from "../output/streams.ts";

/** The images of a command, and how many of a sample's pictures are meant. */
export interface ImageOptions {
  readonly imageKey?: string;
}

/** Class names that are shown of a data set. */
const shownClasses = 5;

/**
 * Opens the images of a command and tells what a user should know of them: what was left out, and the classes.
 *
 * @throws UnreadableDataError, NoImagesError, DataFormatError, DecoderError
 */
export async function openCommandImages(
  path: string,
  options: OpenImagesOptions & ImageOptions,
  output: Output,
): Promise<ImageSource> {
  const source = await openImages(path, options);
  for (const line of source.notices ?? []) output.notice(line);
  const classes = [...occurringClasses(source).values()];
  if (classes.length > 0) output.notice(`${path}: ${source.length} images of ${classText(classes)}`);
  return source;
}

/**
 * Opens test images, whose classes are those of the training images by name.
 *
 * @throws DataFormatError if no class is common to both; otherwise as `openCommandImages`
 */
export async function openTestImages(
  path: string,
  train: ImageSource,
  options: OpenImagesOptions & ImageOptions,
  output: Output,
): Promise<ImageSource> {
  const classNames = [...occurringClasses(train).values()];
  const test = await openCommandImages(path, { ...options, split: "test", classNames }, output);
  try {
    const matched = withLabelsOf(test, train);
    for (const line of (matched.notices ?? []).slice(test.notices?.length ?? 0)) output.notice(line);
    return matched;
  } catch (error) {
    await test.close?.();
    throw error;
  }
}

function classText(classes: readonly string[]): string {
  const first = classes.slice(0, shownClasses).join(", ");
  const more = classes.length > shownClasses ? ", …" : "";
  return classes.length === 1 ? `1 class (${first})` : `${classes.length} classes (${first}${more})`;
}
