import { OptionError } from "../../../engine/index.ts";

/** A range of which a number is drawn uniformly. */
export type Range = readonly [from: number, to: number];

/** RandAugment (arXiv 1909.13719): operations drawn with replacement, after the mirroring and the colour jitter. */
export interface RandAugmentOptions {
  /** Operations per view, 1 … 8; each is carried out with the probability. */
  readonly operations: number;
  /** Mean magnitude, 0 … 1, and standard deviation; drawn anew for every operation and clipped to 0 … 1. */
  readonly magnitude: number;
  readonly deviation: number;
  readonly probability: number;
  /** Colour of what an operation moves in from outside: red, green, blue, 0 … 255. */
  readonly fill: readonly [number, number, number];
}

/** What replaces the pixels of an erased box: standard normal numbers, or zeros. */
export type ErasingNoise = "perValue" | "perChannel" | "zero";

/** Random erasing (arXiv 1708.04896) of the normalised view. */
export interface ErasingOptions {
  readonly probability: number;
  /** Share of the view that a box covers. */
  readonly area: Range;
  /** Height over width, drawn uniformly in its logarithm. */
  readonly ratio: Range;
  readonly noise: ErasingNoise;
}

/** Random changes of one view, in the order of their execution. All probabilities are 0 … 1. */
export interface ViewOptions {
  /** Share of the image's area that the crop covers. */
  readonly area: Range;
  /** Width over height of the crop, drawn uniformly in its logarithm. */
  readonly ratio: Range;
  /** Probability of mirroring left-right. */
  readonly flip: number;
  /** Factors are drawn from 1 ± strength (brightness, contrast, saturation) and ± strength (hue, in turns of the colour circle). */
  readonly jitter: {
    readonly probability: number;
    readonly brightness: number;
    readonly contrast: number;
    readonly saturation: number;
    readonly hue: number;
  };
  /** Standard deviation in pixels of the view; at most 6.4. */
  readonly blur: { readonly probability: number; readonly sigmaPixels: Range };
  /** Probability of greyscale. */
  readonly greyscale: number;
  /** Values from `threshold` on (0 … 256) are inverted. */
  readonly solarise: { readonly probability: number; readonly threshold: number };
  readonly randAugment?: RandAugmentOptions;
  readonly erase?: ErasingOptions;
}

/** Views of one size. */
export interface ViewGroup {
  readonly heightPixels: number;
  readonly widthPixels: number;
  readonly views: readonly ViewOptions[];
}

/** How a batch of images becomes views. */
export interface ViewConfig {
  readonly global: ViewGroup;
  readonly local?: ViewGroup;
  /** Channels of the images and of the views. */
  readonly channels: 1 | 3;
  /** Per channel, on the scale 0 … 1. */
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
  readonly interpolation: "bicubic" | "bilinear";
}

/** Largest standard deviation of the blur: the margins of three boxes must fit into a tile of `views_finish`. */
export const mostBlurPixels = 6.4;

const normalization = {
  3: { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] }, // ImageNet
  1: { mean: [0.449], deviation: [0.226] }, // means of the three
} as const;

/** What all configurations have in common; `mean` and `deviation` are ImageNet's. */
export function viewDefaults(channels: 1 | 3): Pick<ViewConfig, "channels" | "mean" | "deviation" | "interpolation"> {
  return { channels, ...normalization[channels], interpolation: "bicubic" };
}

/**
 * @returns the configuration
 * @throws OptionError that names the first option with an impossible value
 */
export function checkViewConfig(config: ViewConfig): ViewConfig {
  const { global, local, channels, mean, deviation } = config;
  for (const [name, values] of Object.entries({ mean, deviation })) {
    if (values.length !== channels)
      throw new OptionError(`views: ${name} has ${values.length} numbers, expected one per channel (${channels})`);
  }
  if (deviation.some((value) => !(value > 0)))
    throw new OptionError(`views: deviation is [${deviation.join(", ")}], expected numbers above 0`);
  checkGroup("global", global);
  if (local) checkGroup("local", local);
  return config;
}

function checkGroup(group: string, { heightPixels, widthPixels, views }: ViewGroup): void {
  for (const [name, pixels] of Object.entries({ heightPixels, widthPixels })) {
    if (!Number.isInteger(pixels) || pixels < 1 || pixels > 4096)
      throw new OptionError(`views: ${group}.${name} is ${pixels}, expected an integer in 1 … 4096`);
  }
  if (views.length === 0) throw new OptionError(`views: ${group}.views is empty; list at least one view`);
  views.forEach((view, index) => {
    checkView(`${group}.views[${index}]`, view);
  });
}

function checkView(at: string, view: ViewOptions): void {
  const { area, ratio, flip, jitter, blur, greyscale, solarise } = view;
  checkRange(`${at}.area`, area, 0, 1);
  checkRange(`${at}.ratio`, ratio, 0, Number.MAX_VALUE);
  if (!(area[0] > 0) || !(ratio[0] > 0)) throw new OptionError(`views: ${at}.area and .ratio must be above 0`);
  const probabilities = { flip, greyscale, "jitter.probability": jitter.probability };
  const others = { "blur.probability": blur.probability, "solarise.probability": solarise.probability };
  for (const [name, value] of Object.entries({ ...probabilities, ...others }))
    checkNumber(`${at}.${name}`, value, 0, 1);
  const { brightness, contrast, saturation, hue } = jitter;
  for (const [name, value] of Object.entries({ brightness, contrast, saturation }))
    checkNumber(`${at}.jitter.${name}`, value, 0, 100);
  checkNumber(`${at}.jitter.hue`, hue, 0, 0.5);
  checkRange(`${at}.blur.sigmaPixels`, blur.sigmaPixels, 0, mostBlurPixels);
  checkNumber(`${at}.solarise.threshold`, solarise.threshold, 0, 256);
  if (view.randAugment) checkRandAugment(`${at}.randAugment`, view.randAugment);
  if (view.erase) checkErasing(`${at}.erase`, view.erase);
}

function checkRandAugment(
  at: string,
  { operations, magnitude, deviation, probability, fill }: RandAugmentOptions,
): void {
  if (!Number.isInteger(operations))
    throw new OptionError(`views: ${at}.operations is ${operations}, expected an integer`);
  checkNumber(`${at}.operations`, operations, 1, 8);
  checkNumber(`${at}.magnitude`, magnitude, 0, 1);
  checkNumber(`${at}.deviation`, deviation, 0, 1);
  checkNumber(`${at}.probability`, probability, 0, 1);
  fill.forEach((value, channel) => {
    if (!Number.isInteger(value))
      throw new OptionError(`views: ${at}.fill[${channel}] is ${value}, expected an integer`);
    checkNumber(`${at}.fill[${channel}]`, value, 0, 255);
  });
}

function checkErasing(at: string, { probability, area, ratio }: ErasingOptions): void {
  checkNumber(`${at}.probability`, probability, 0, 1);
  checkRange(`${at}.area`, area, 0, 1);
  checkRange(`${at}.ratio`, ratio, 0, Number.MAX_VALUE);
  if (!(ratio[0] > 0)) throw new OptionError(`views: ${at}.ratio must be above 0`);
}

function checkNumber(at: string, value: number, least: number, most: number): void {
  if (!(value >= least && value <= most))
    throw new OptionError(`views: ${at} is ${value}, expected a number in ${least} … ${most}`);
}

function checkRange(at: string, [from, to]: Range, least: number, most: number): void {
  checkNumber(`${at}[0]`, from, least, most);
  checkNumber(`${at}[1]`, to, least, most);
  if (from > to) throw new OptionError(`views: ${at} is [${from}, ${to}], expected the smaller number first`);
}
