import type { ImageSource, RgbImage } from "../image_source.ts";
import { corruptImage, type JpegCodec } from "./corrupt.ts";
import { corruptionDraws } from "./draws.ts";
import type { Corruption } from "./levels.ts";

export interface CorruptedOptions {
  readonly corruption: Corruption;
  /** 1 … 5 */
  readonly severity: number;
  readonly seed?: number;
  /** For jpeg_compression. */
  readonly jpeg?: JpegCodec;
  /**
   * Shorter side to which photographs are reduced first; stored pixels stay as they are. Amounts belong to images of 224 pixels: noise
   * and blur of a large photograph would vanish where a model sees it small.
   */
  readonly sidePixels?: number;
}

/**
 * The images of a source, each corrupted by random numbers of its own when it is loaded; grey ones become grey again. Closing it closes
 * the source.
 */
export function corruptedImages(source: ImageSource, options: CorruptedOptions): ImageSource {
  const { corruption, severity, seed = 0, jpeg, sidePixels } = options;
  return {
    length: source.length,
    channels: source.channels,
    ...(source.largestBytes === undefined ? {} : { largestBytes: source.largestBytes }),
    ...(source.notices ? { notices: source.notices } : {}),
    ...(source.classNames ? { classNames: source.classNames } : {}),
    label: (index) => source.label(index),
    name: (index) => source.name(index),
    load: async (index, loading = {}) => {
      const resizeTo = sidePixels ?? loading.resizeTo;
      const image = await source.load(index, { ...loading, ...(resizeTo === undefined ? {} : { resizeTo }) });
      const draws = corruptionDraws(seed, corruption, severity, index);
      const corrupted = await corruptImage(image, { corruption, severity, draws, ...(jpeg ? { jpeg } : {}) });
      return source.channels === 1 ? inGrey(corrupted) : corrupted;
    },
    close: async () => source.close?.(),
  };
}

/** Luma of ITU-R BT.601 in the fixed point of Pillow's convert("L"). */
function inGrey({ width, height, data }: RgbImage): RgbImage {
  const grey = Uint8Array.from({ length: width * height }, (_, pixel) => {
    const [red = 0, green = 0, blue = 0] = data.subarray(3 * pixel, 3 * pixel + 3);
    return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16;
  });
  return { width, height, channels: 1, data: grey };
}
