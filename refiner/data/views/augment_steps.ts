import { OptionError } from "../../../engine/index.ts";
import type { ImageSize } from "./crops.ts";

/** The operations of RandAugment, in the order of the published list. */
export const augmentOperations = [
  "autoContrast",
  "equalise",
  "invert",
  "rotate",
  "posterise",
  "solarise",
  "solariseAdd",
  "colour",
  "contrast",
  "brightness",
  "sharpness",
  "shearX",
  "shearY",
  "translateX",
  "translateY",
] as const;

export type AugmentOperation = (typeof augmentOperations)[number];

/** One operation on one view. */
export interface AugmentStep {
  readonly operation: AugmentOperation;
  /** 0 … 1; autoContrast, equalise and invert have none. */
  readonly magnitude: number;
  /** Turns, shears and shifts the other way, and makes a factor smaller instead of larger. */
  readonly isNegative?: boolean;
  /** Colour of what an affine map moves in from outside, red, green, blue in 0 … 255; default black. */
  readonly fill?: readonly [number, number, number];
}

/** Words (32 bits) per step: code, value, colour from outside, 0, and six doubles of an affine map. */
export const augmentWords = 16;

/** Codes of augment_tables.wgsl and augment_pixels.wgsl; 0 is none. */
export const augmentCodes = {
  autoContrast: 1,
  equalise: 2,
  invert: 3,
  posterise: 4,
  solarise: 5,
  solariseAdd: 6,
  contrast: 7,
  brightness: 8,
  colour: 9,
  sharpness: 10,
  affine: 11,
} as const;

/** What a step amounts to: a whole number, a factor, or the map from places in the result to places in the view. */
export type AugmentAmount =
  | { readonly code: number; readonly whole: number }
  | { readonly code: number; readonly factor: number }
  | { readonly code: number; readonly map: readonly number[] };

/**
 * The amount of a step on a view of some size, in pixels: up to 30° of rotation, 0.3 of shear, 0.45 sides of translation, 0.9 of a
 * factor's distance from 1, 4 bits lost, solarised from 256 - 256 m on, 110 m added (KappaData's RandAugment; Cubuk et al.,
 * arXiv 1909.13719, § 3).
 *
 * @throws OptionError for a magnitude outside 0 … 1
 */
export function augmentAmount(step: AugmentStep, { width, height }: ImageSize): AugmentAmount {
  const { operation, magnitude: m, isNegative = false } = step;
  if (!(m >= 0 && m <= 1)) throw new OptionError(`views: the magnitude of ${operation} is ${m}, expected 0 … 1`);
  const sign = isNegative ? -1 : 1;
  const affine = (...map: number[]): AugmentAmount => ({ code: augmentCodes.affine, map });
  switch (operation) {
    case "autoContrast":
    case "equalise":
    case "invert":
      return { code: augmentCodes[operation], whole: 0 };
    case "posterise":
      return { code: augmentCodes.posterise, whole: 4 - Math.trunc(4 * m) };
    case "solarise":
      return { code: augmentCodes.solarise, whole: 256 - Math.trunc(256 * m) };
    case "solariseAdd":
      return { code: augmentCodes.solariseAdd, whole: Math.trunc(110 * m) };
    case "contrast":
    case "brightness":
    case "colour":
    case "sharpness":
      return { code: augmentCodes[operation], factor: 1 + sign * (0.9 * m) };
    case "rotate":
      return affine(...rotation(sign * 30 * m, width, height));
    case "shearX":
      return affine(1, sign * 0.3 * m, 0, 0, 1, 0);
    case "shearY":
      return affine(1, 0, 0, sign * 0.3 * m, 1, 0);
    case "translateX":
      return affine(1, 0, sign * 0.45 * m * width, 0, 1, 0);
    case "translateY":
      return affine(1, 0, 0, 0, 1, sign * 0.45 * m * height);
  }
}

/** Map of a rotation about the centre, counter-clockwise, with cosine and sine of 15 decimals as Pillow rounds them. */
function rotation(degrees: number, width: number, height: number): number[] {
  const turned = ((degrees % 360) + 360) % 360;
  const radians = -(turned * (Math.PI / 180));
  const [cosine, sine] = [rounded15(Math.cos(radians)), rounded15(Math.sin(radians))];
  const minusSine = rounded15(-Math.sin(radians));
  const [x, y] = [width / 2, height / 2];
  return [cosine, sine, cosine * -x + sine * -y + x, minusSine, cosine, minusSine * -x + cosine * -y + y];
}

function rounded15(value: number): number {
  return Number(value.toFixed(15));
}

/**
 * Writes one step at `place` of the row of a view: {@link augmentWords} words from `place · augmentWords` on.
 *
 * @param row - the words of a view
 * @throws OptionError for a magnitude outside 0 … 1
 */
export function writeAugmentStep(row: Uint32Array, place: number, step: AugmentStep, size: ImageSize): void {
  const words = row.subarray(place * augmentWords, (place + 1) * augmentWords);
  const amount = augmentAmount(step, size);
  words.fill(0);
  words[0] = amount.code;
  if ("whole" in amount) words[1] = amount.whole;
  else if ("factor" in amount) words.set(new Uint32Array(Float32Array.of(amount.factor).buffer), 1);
  else {
    const [red, green, blue] = step.fill ?? [0, 0, 0];
    words[2] = red | (green << 8) | (blue << 16);
    // The shader's doubles know no subnormal numbers; beside half a pixel, these are nothing.
    const map = amount.map.map((factor) => (Math.abs(factor) < 2 ** -200 ? 0 : factor));
    words.set(new Uint32Array(Float64Array.from(map).buffer), 4);
  }
}
