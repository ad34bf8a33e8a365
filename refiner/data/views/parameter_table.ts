import { boxBlurFor } from "./box_blur.ts";
import type { ViewGroup } from "./view_config.ts";

/** Part of an image, in pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** An operation of the colour jitter with its factor; for hue, a part of the colour circle. */
export type JitterStep = readonly [operation: "brightness" | "contrast" | "saturation" | "hue", factor: number];

/** All that happens to one image in one view. */
export interface ViewParameters {
  readonly crop: Box;
  /** Size that the crop is resized to, and where the view lies in it; default: exactly the view. */
  readonly scaled?: Box;
  readonly flip?: boolean;
  /** In the order of their execution, each operation at most once. */
  readonly jitter?: readonly JitterStep[];
  readonly sigmaPixels?: number;
  readonly greyscale?: boolean;
  readonly solariseFrom?: number;
}

/** Words (32 bits) per view and image: `View` of the shaders. */
export const viewWords = 20;

/** Numbers of the operations in views_jitter.wgsl; 0 is none. */
export const jitterCodes = { brightness: 1, contrast: 2, saturation: 3, hue: 4 } as const;
const factorWord = { brightness: 8, contrast: 9, saturation: 10 } as const;

/**
 * Writes row `row` of a parameter table `[views · batch, 20]` u32.
 *
 * @param group - size of the view
 */
export function writeParameters(table: Uint32Array, row: number, group: ViewGroup, view: ViewParameters): void {
  const { crop, jitter = [], sigmaPixels = 0, greyscale = false, solariseFrom = 256, flip = false } = view;
  const { scaled = { left: 0, top: 0, width: group.widthPixels, height: group.heightPixels } } = view;
  const words = table.subarray(row * viewWords, (row + 1) * viewWords);
  words.fill(0);
  words.set([crop.left, crop.top, crop.width, crop.height, scaled.width, scaled.height, scaled.left, scaled.top]);
  const floats = new Float32Array(words.buffer, words.byteOffset, viewWords);
  jitter.forEach(([operation, factor], place) => {
    words[12] = (words[12] ?? 0) | (jitterCodes[operation] << (8 * place));
    if (operation === "hue") words[13] = Math.trunc(factor * 255) & 255;
    else floats[factorWord[operation]] = factor;
  });
  words[14] = greyscale ? 1 : 0;
  words[15] = solariseFrom;
  if (sigmaPixels > 0) {
    const { radius, innerWeight, edgeWeight } = boxBlurFor(sigmaPixels);
    words.set([radius, innerWeight, edgeWeight], 16);
  }
  words[19] = flip ? 1 : 0;
}
