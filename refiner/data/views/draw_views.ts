import { philox, purposeNumber, seedWords } from "../../../engine/core/host_random.ts";
import { OptionError } from "../../../engine/index.ts";
import { centreOf, evaluationSide, type ImageSize, randomCrop } from "./crops.ts";
import { type JitterStep, type ViewParameters, viewWords, writeParameters } from "./parameter_table.ts";
import type { ViewConfig, ViewOptions } from "./view_config.ts";

/** An image of a batch: its size, and the number that its random draws are keyed by. */
export interface ViewSample extends ImageSize {
  /** 0 … 2³² - 1: the position in the epoch, or the index in the data set. */
  readonly index: number;
}

export interface DrawOptions {
  readonly seed: number;
  /** Position in time, such as the epoch or the number of completed updates. */
  readonly step: number;
  readonly samples: readonly ViewSample[];
}

/**
 * Draws the parameters of all views of a batch. A row depends on the seed, the step, the number of the view, and the sample's
 * index and size, and on nothing else: not on the other samples, their order, or who calls.
 *
 * Drawn on the host, because a crop may take ten attempts and a table row is 80 bytes beside the 200 kB of an image: float64
 * gives the same crops on every device, and they can be shown.
 *
 * @returns `[views · batch, 20]` u32, view-major, global views first; pass it to {@link views}
 * @throws OptionError
 */
export function drawViewParameters(config: ViewConfig, { seed, step, samples }: DrawOptions): Uint32Array {
  const groups = config.local ? [config.global, config.local] : [config.global];
  const views = groups.reduce((sum, group) => sum + group.views.length, 0);
  const table = new Uint32Array(views * samples.length * viewWords);
  const key = seedWords(seed);
  const purpose = purposeNumber("views");
  let view = 0;
  for (const group of groups) {
    for (const options of group.views) {
      samples.forEach((sample, b) => {
        const block: Block = (index) => {
          const words = philox([view * blocksPerView + index, checkIndex(sample.index), step >>> 0, purpose], key);
          return words.map((word) => (word >>> 8) * 2 ** -24);
        };
        writeParameters(table, view * samples.length + b, group, drawView(options, sample, block));
      });
      view++;
    }
  }
  return table;
}

/**
 * The parameters of the evaluation view: resized, bicubic, and cropped in the centre.
 *
 * @param shorterSide - of the resized image; default: 256/224 of the view's side, along the side where the image is tighter;
 *   `squash`: the whole image at the view's size, whatever its shape
 * @throws OptionError if the view is larger than the resized image
 */
export function evaluationParameters(
  config: ViewConfig,
  sizes: readonly ImageSize[],
  shorterSide?: number | "squash",
): Uint32Array {
  const { global } = config;
  const view = { width: global.widthPixels, height: global.heightPixels };
  const table = new Uint32Array(sizes.length * viewWords);
  sizes.forEach(({ width, height }, b) => {
    const scaled =
      shorterSide === "squash"
        ? { left: 0, top: 0, ...view }
        : centreOf({ width, height }, shorterSide ?? evaluationSide({ width, height }, view), view);
    if (scaled.left < 0 || scaled.top < 0)
      throw new OptionError(
        `views: an image of ${width} × ${height} resized to ${scaled.width} × ${scaled.height} is smaller than the view (${view.width} × ${view.height}); raise shorterSide`,
      );
    writeParameters(table, b, global, { crop: { left: 0, top: 0, width, height }, scaled });
  });
  return table;
}

/** Four uniform numbers in [0, 1); a block can be skipped without changing another. */
type Block = (index: number) => number[];

// Places of a view's random blocks; crops take the first ten. They are part of what a seed means.
const blocksPerView = 16;
const choicesBlock = 10; // flip, jitter, blur, greyscale
const factorsBlock = 11; // brightness, contrast, saturation, hue
const orderBlock = 12; // Fisher-Yates
const restBlock = 13; // sigma, solarise

function drawView(options: ViewOptions, sample: ViewSample, block: Block): ViewParameters {
  const [flip = 0, jitter = 0, blur = 0, greyscale = 0] = block(choicesBlock);
  const [sigma = 0, solarise = 0] = block(restBlock);
  const [least, most] = options.blur.sigmaPixels;
  return {
    crop: randomCrop(sample, options.area, options.ratio, block),
    flip: flip < options.flip,
    jitter: jitter < options.jitter.probability ? drawJitter(options.jitter, block) : [],
    sigmaPixels: blur < options.blur.probability ? least + sigma * (most - least) : 0,
    greyscale: greyscale < options.greyscale,
    solariseFrom: solarise < options.solarise.probability ? options.solarise.threshold : 256,
  };
}

function drawJitter(strengths: ViewOptions["jitter"], block: Block): JitterStep[] {
  const draws = block(factorsBlock);
  const around = (center: number, strength: number, draw = 0): number =>
    Math.max(0, center - strength) + draw * (center + strength - Math.max(0, center - strength));
  const all: JitterStep[] = [
    ["brightness", around(1, strengths.brightness, draws[0])],
    ["contrast", around(1, strengths.contrast, draws[1])],
    ["saturation", around(1, strengths.saturation, draws[2])],
    ["hue", (2 * (draws[3] ?? 0) - 1) * strengths.hue],
  ];
  const order = block(orderBlock);
  const shuffled: JitterStep[] = [];
  for (let left = all.length; left > 0; left--) {
    shuffled.push(...all.splice(Math.floor((order[left - 1] ?? 0) * left), 1));
  }
  return shuffled.filter(([operation]) => strengths[operation] > 0);
}

function checkIndex(index: number): number {
  if (!Number.isInteger(index) || index < 0 || index > 0xffffffff)
    throw new OptionError(`views: the sample index ${index} is not an integer in 0 … 2³² - 1; number the samples`);
  return index;
}
