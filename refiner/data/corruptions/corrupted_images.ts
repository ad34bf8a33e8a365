import type { ImageSource } from "../image_source.ts";
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

/** The images of a source, each corrupted by random numbers of its own when it is loaded. Closing it closes the source. */
export function corruptedImages(source: ImageSource, options: CorruptedOptions): ImageSource {
  const { corruption, severity, seed = 0, jpeg, sidePixels } = options;
  return {
    length: source.length,
    channels: 3,
    ...(source.largestBytes === undefined ? {} : { largestBytes: (source.largestBytes * 3) / source.channels }),
    ...(source.notices ? { notices: source.notices } : {}),
    ...(source.classNames ? { classNames: source.classNames } : {}),
    label: (index) => source.label(index),
    name: (index) => source.name(index),
    load: async (index, loading = {}) => {
      const resizeTo = sidePixels ?? loading.resizeTo;
      const image = await source.load(index, { ...loading, ...(resizeTo === undefined ? {} : { resizeTo }) });
      const draws = corruptionDraws(seed, corruption, severity, index);
      return corruptImage(image, { corruption, severity, draws, ...(jpeg ? { jpeg } : {}) });
    },
    close: async () => source.close?.(),
  };
}
