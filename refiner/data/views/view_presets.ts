import {
  checkViewConfig,
  type ErasingOptions,
  type RandAugmentOptions,
  type ViewConfig,
  type ViewOptions,
  viewDefaults,
} from "./view_config.ts";

/** No change but the crop of the whole image. */
export const plainView: ViewOptions = {
  area: [1, 1],
  ratio: [1, 1],
  flip: 0,
  jitter: { probability: 0, brightness: 0, contrast: 0, saturation: 0, hue: 0 },
  blur: { probability: 0, sigmaPixels: [0, 0] },
  greyscale: 0,
  solarise: { probability: 0, threshold: 128 },
};

const ratio = [3 / 4, 4 / 3] as const;

/** First global view of MIM-Refiner: always blurred. */
export const firstGlobalView: ViewOptions = {
  area: [0.25, 1],
  ratio,
  flip: 0.5,
  jitter: { probability: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 },
  blur: { probability: 1, sigmaPixels: [0.1, 2] },
  greyscale: 0.2,
  solarise: { probability: 0, threshold: 128 },
};

/** Second global view: rarely blurred, sometimes solarised. */
export const secondGlobalView: ViewOptions = {
  ...firstGlobalView,
  blur: { ...firstGlobalView.blur, probability: 0.1 },
  solarise: { probability: 0.2, threshold: 128 },
};

/** Local view: a small crop. */
export const localView: ViewOptions = {
  ...firstGlobalView,
  area: [0.05, 0.25],
  blur: { ...firstGlobalView.blur, probability: 0.5 },
};

export interface RefineViewOptions {
  /** Side of a patch of the encoder; local views are 98 pixels for 14 and 96 otherwise. Default 16. */
  readonly patchPixels?: number;
  readonly globalPixels?: number;
  readonly localPixels?: number;
  /** Number of local views; default 10, 0 for none. */
  readonly localViews?: number;
  readonly channels?: 1 | 3;
}

/** The views of both refining stages: two global, ten local. @throws OptionError */
export function refineViews(options: RefineViewOptions = {}): ViewConfig {
  const { patchPixels = 16, globalPixels = 224, localViews = 10, channels = 3 } = options;
  const { localPixels = patchPixels === 14 ? 98 : 96 } = options;
  return checkViewConfig({
    ...viewDefaults(channels),
    global: square(globalPixels, [firstGlobalView, secondGlobalView]),
    ...(localViews > 0 ? { local: square(localPixels, Array<ViewOptions>(localViews).fill(localView)) } : {}),
  });
}

/**
 * The same for images of about 28 to 64 pixels. Nothing is blurred: a standard deviation of 2 pixels of 224 would be a
 * quarter of a pixel here, and 2 pixels would erase most images.
 *
 * @param pixels - side of the global views; local ones are 3/7 of it (96 of 224), in whole patches
 * @throws OptionError
 */
export function smallImageViews(pixels: 28 | 32 | number, options: RefineViewOptions = {}): ViewConfig {
  const { patchPixels = 4 } = options;
  const localPixels = Math.max(1, Math.round((pixels * 3) / 7 / patchPixels)) * patchPixels;
  const config = refineViews({ localPixels, globalPixels: pixels, ...options });
  const sharp = (view: ViewOptions): ViewOptions => ({ ...view, blur: plainView.blur });
  const { global, local } = config;
  return {
    ...config,
    global: { ...global, views: global.views.map(sharp) },
    ...(local ? { local: { ...local, views: local.views.map(sharp) } } : {}),
  };
}

/** One view for masked pre-training: crop of 20 to 100 % and mirroring (He et al. 2022, table 8). @throws OptionError */
export function pretrainViews(pixels = 224, channels: 1 | 3 = 3): ViewConfig {
  return oneView(pixels, channels, { ...plainView, area: [0.2, 1], ratio, flip: 0.5 });
}

/** One view for training probes: crop of 8 to 100 % and mirroring. @throws OptionError */
export function probeViews(pixels = 224, channels: 1 | 3 = 3): ViewConfig {
  return oneView(pixels, channels, { ...plainView, area: [0.08, 1], ratio, flip: 0.5 });
}

/** RandAugment as MIM-Refiner fine-tunes with (KappaData: two operations, magnitude 9 of 10). */
export const publishedRandAugment: RandAugmentOptions = {
  operations: 2,
  magnitude: 0.9,
  deviation: 0.05,
  probability: 0.5,
  fill: [124, 116, 104], // the mean colour of ImageNet
};

/** Random erasing as MIM-Refiner fine-tunes with. */
export const publishedErasing: ErasingOptions = {
  probability: 0.25,
  area: [0.02, 1 / 3],
  ratio: [0.3, 1 / 0.3],
  noise: "perValue",
};

/** One unchanged view; its parameters come from `evaluationParameters`. @throws OptionError */
export function evaluationViews(pixels = 224, channels: 1 | 3 = 3): ViewConfig {
  return oneView(pixels, channels, plainView);
}

function oneView(pixels: number, channels: 1 | 3, view: ViewOptions): ViewConfig {
  return checkViewConfig({ ...viewDefaults(channels), global: square(pixels, [view]) });
}

function square(pixels: number, views: readonly ViewOptions[]) {
  return { heightPixels: pixels, widthPixels: pixels, views };
}
