import type { ImageSource, RgbImage } from "../../data/image_source.ts";

/** The images of `source` with the channels that a model takes: grey is repeated, colour becomes luma (ITU-R BT.601, as Pillow). */
export function matchChannels(source: ImageSource, channels: 1 | 3): ImageSource {
  if (source.channels === channels) return source;
  const convert = channels === 3 ? repeated : luma;
  return {
    length: source.length,
    channels,
    ...(source.largestBytes === undefined ? {} : { largestBytes: (source.largestBytes / source.channels) * channels }),
    ...(source.classNames ? { classNames: source.classNames } : {}),
    label: (index) => source.label(index),
    name: (index) => source.name(index),
    load: async (index, options) => convert(await source.load(index, options)),
    close: async () => source.close?.(),
  };
}

function repeated(image: RgbImage): RgbImage {
  const { data, width, height } = image;
  return {
    width,
    height,
    channels: 3,
    data: Uint8Array.from({ length: 3 * data.length }, (_, i) => data[Math.floor(i / 3)] ?? 0),
  };
}

function luma({ data, width, height }: RgbImage): RgbImage {
  const at = (pixel: number, channel: number): number => data[3 * pixel + channel] ?? 0;
  const grey = Uint8Array.from(
    { length: width * height },
    (_, i) => (19595 * at(i, 0) + 38470 * at(i, 1) + 7471 * at(i, 2) + 32768) >> 16,
  );
  return { width, height, channels: 1, data: grey };
}
