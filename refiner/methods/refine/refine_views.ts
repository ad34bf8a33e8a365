import { OptionError, type Program, type Tensor } from "../../../engine/index.ts";
import type { VitConfig } from "../../../models/index.ts";
import type { ImageBatch } from "../../data/index.ts";
import {
  checkViewConfig,
  firstGlobalView,
  localView,
  secondGlobalView,
  type ViewConfig,
  type ViewOptions,
  viewDefaults,
} from "../../data/views/index.ts";
import type { RefineConfig } from "./refine_config.ts";

/** Where the views of a batch come from; `ViewInputs` cuts them out of the images on the device. */
export interface StageViews {
  record(program: Program): readonly Tensor[];
  values(batch: ImageBatch, first: number, seed: number, epoch: number): Readonly<Record<string, ArrayLike<number>>>;
}

/**
 * The views of a refinement for a model of a given resolution and patch size.
 *
 * @throws OptionError for sizes that are not whole patches
 */
export function viewConfigOf(config: RefineConfig, model: VitConfig): ViewConfig {
  const channels = model.channels === 1 ? 1 : 3;
  if (model.channels !== channels)
    throw new OptionError(`refine: the model takes ${model.channels} channels; images have 1 or 3`);
  const globalPixels = config.globalPixels || model.heightPixels;
  const { localPixels } = localSize(config, model, globalPixels);
  checkWholePatches("globalPixels", globalPixels, model.patchPixels);
  const common = {
    flip: config.flip,
    greyscale: channels === 1 ? 0 : config.greyscale,
    jitter: {
      probability: config.jitter,
      brightness: config.brightness,
      contrast: config.contrast,
      saturation: channels === 1 ? 0 : config.saturation,
      hue: channels === 1 ? 0 : config.hue,
    },
  };
  const view = (base: ViewOptions, area: readonly [number, number], blur: number, solarise: number): ViewOptions => ({
    ...base,
    ...common,
    area,
    blur: { probability: blur, sigmaPixels: config.blurSigma },
    solarise: { ...secondGlobalView.solarise, probability: solarise },
  });
  const [firstBlur, secondBlur, localBlur] = config.blur;
  const global = [
    view(firstGlobalView, config.globalArea, firstBlur, 0),
    view(secondGlobalView, config.globalArea, secondBlur, config.solarise),
  ];
  const square = (pixels: number, views: readonly ViewOptions[]) => ({
    heightPixels: pixels,
    widthPixels: pixels,
    views,
  });
  const local = Array.from({ length: config.localViews }, () => view(localView, config.localArea, localBlur, 0));
  return checkViewConfig({
    ...viewDefaults(channels),
    global: square(globalPixels, global),
    ...(local.length > 0 ? { local: square(localPixels, local) } : {}),
  });
}

/** Pixels of the shorter side that images are reduced to while they are decoded. */
export function decodedSide(config: RefineConfig, model: VitConfig): number {
  return config.resizeTo || 2 * (config.globalPixels || model.heightPixels);
}

/** 3/7 of the global views (96 of 224), in whole patches. */
function localSize(config: RefineConfig, model: VitConfig, globalPixels: number): { localPixels: number } {
  const patches = Math.max(1, Math.round((globalPixels * 3) / 7 / model.patchPixels));
  const localPixels = config.localPixels || patches * model.patchPixels;
  if (config.localViews > 0) checkWholePatches("localPixels", localPixels, model.patchPixels);
  return { localPixels };
}

function checkWholePatches(name: string, pixels: number, patchPixels: number): void {
  if (pixels % patchPixels !== 0) {
    throw new OptionError(
      `refine: ${name} ${pixels} is not a multiple of the patch size ${patchPixels}; choose ${Math.max(1, Math.round(pixels / patchPixels)) * patchPixels}`,
    );
  }
}
