import { OptionError, Tensor } from "../../../engine/index.ts";
import type { ImageSource, RgbImage } from "../image_source.ts";
import { collectImages, type LabelledImage } from "./in_memory.ts";

/** One image of an iterable: 8-bit samples, with a label or without, or a tensor `[height, width, 1 or 3]` of values 0 … 255. */
export type ImageItem = RgbImage | LabelledImage | Tensor;

/** What training takes images from: a data set, or any iterable, which is read once and kept in memory for the epochs. */
export type ImageInput = ImageSource | Iterable<ImageItem> | AsyncIterable<ImageItem>;

/** @throws NoImagesError, DataFormatError, OptionError */
export async function asImageSource(input: ImageInput): Promise<ImageSource> {
  return "load" in input ? input : collectImages(decodedItems(input));
}

async function* decodedItems(
  items: Iterable<ImageItem> | AsyncIterable<ImageItem>,
): AsyncGenerator<RgbImage | LabelledImage> {
  for await (const item of items) yield item instanceof Tensor ? await imageOf(item) : item;
}

async function imageOf(tensor: Tensor): Promise<RgbImage> {
  const [height = 0, width = 0, channels] = tensor.shape;
  if (tensor.shape.length !== 3 || (channels !== 1 && channels !== 3) || tensor.dtype === "f16") {
    throw new OptionError(
      `images: a tensor [${tensor.shape}] of ${tensor.dtype} is no image; give [height, width, 1 or 3] with values 0 … 255, as u8, u32, i32 or f32`,
    );
  }
  const values = Uint8ClampedArray.from(await tensor.read()); // rounds to the nearest level
  return { width, height, channels, data: new Uint8Array(values.buffer) };
}
