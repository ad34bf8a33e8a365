import { DataFormatError, NoImagesError } from "../errors.ts";
import type { ImageSource, RgbImage } from "../image_source.ts";

/** An image with its class, counted from 0. */
export interface LabelledImage {
  readonly image: RgbImage;
  readonly label?: number;
}

export interface MemoryOptions {
  readonly labels?: ArrayLike<number | undefined>;
  readonly classNames?: readonly string[];
  readonly names?: readonly string[];
}

/**
 * A data set of images that are in memory already. They are not copied.
 *
 * @throws NoImagesError without images
 * @throws DataFormatError if an image's size does not fit its data, or grey and colour are mixed
 */
export function imagesInMemory(images: readonly RgbImage[], options: MemoryOptions = {}): ImageSource {
  const [first] = images;
  if (first === undefined) throw new NoImagesError("imagesInMemory: the list is empty; give at least one image");
  for (const [index, image] of images.entries()) checkImage(image, first.channels, `image ${index}`);
  const at = (index: number): RgbImage => {
    const image = images[index];
    if (image === undefined) throw new RangeError(`load: image ${index} is not within 0 … ${images.length - 1}`);
    return image;
  };
  return {
    length: images.length,
    channels: first.channels,
    largestBytes: images.reduce((most, { data }) => Math.max(most, data.length), 0),
    classNames: options.classNames,
    label: (index) => options.labels?.[index],
    name: (index) => options.names?.[index] ?? `image ${index}`,
    load: async (index) => at(index),
  };
}

/**
 * Keeps a finite stream of images in memory, so that it can be visited in epochs.
 *
 * @throws NoImagesError, DataFormatError as `imagesInMemory`
 */
export async function collectImages(
  stream: AsyncIterable<LabelledImage | RgbImage> | Iterable<LabelledImage | RgbImage>,
  classNames?: readonly string[],
): Promise<ImageSource> {
  const images: RgbImage[] = [];
  const labels: (number | undefined)[] = [];
  for await (const item of stream) {
    const { image, label } = "image" in item ? item : { image: item, label: undefined };
    images.push(image);
    labels.push(label);
  }
  return imagesInMemory(images, { labels, classNames });
}

/** @throws DataFormatError if the size of `image` does not fit its data or `channels` */
export function checkImage(image: RgbImage, channels: 1 | 3, name: string): void {
  const { width, height, data } = image;
  if (!Number.isInteger(width) || !Number.isInteger(height) || width < 1 || height < 1) {
    throw new DataFormatError(`images: ${name} measures ${width} × ${height}; width and height are 1 or more`);
  }
  if (image.channels !== channels) {
    throw new DataFormatError(
      `images: ${name} has ${image.channels} channels where the others have ${channels}; convert all to grey (1) or RGB (3)`,
    );
  }
  if (data.length !== width * height * channels) {
    throw new DataFormatError(
      `images: ${name} has ${data.length} values, expected ${width} × ${height} × ${channels} = ${width * height * channels}; ` +
        `give interleaved 8-bit samples without padding or alpha`,
    );
  }
}
