import { OptionError } from "../../../engine/index.ts";
import type { VitConfig } from "../../../models/index.ts";
import {
  checkViewConfig,
  plainView,
  publishedErasing,
  publishedRandAugment,
  type ViewConfig,
  type ViewOptions,
  viewDefaults,
} from "../../data/views/index.ts";
import type { FinetuneConfig } from "./finetune_config.ts";

/** Side of the images that the model is trained and tested on. */
export function imagePixels({ pixels }: Pick<FinetuneConfig, "pixels">, { heightPixels }: VitConfig): number {
  return pixels || heightPixels;
}

/** Pixels of the shorter side that images are reduced to while they are decoded. */
export function decodedSide(config: FinetuneConfig, model: VitConfig): number {
  return config.resizeTo || 2 * imagePixels(config, model);
}

/** One view of each image: a random crop, mirroring, RandAugment, random erasing. @throws OptionError for sizes that are not whole patches */
export function finetuneViews(config: FinetuneConfig, model: VitConfig): ViewConfig {
  const side = imagePixels(config, model);
  if (model.channels !== 1 && model.channels !== 3)
    throw new OptionError(`finetune: the model takes ${model.channels} channels; images have 1 or 3`);
  if (side % model.patchPixels !== 0)
    throw new OptionError(
      `finetune: images of ${side} pixels are no whole patches of ${model.patchPixels}; set pixels to a multiple of it`,
    );
  const { area, flip, randAugment: operations, randAugmentMagnitude: magnitude, erase: probability } = config;
  const view: ViewOptions = {
    ...plainView,
    area,
    ratio: [3 / 4, 4 / 3],
    flip,
    ...(operations > 0 ? { randAugment: { ...publishedRandAugment, operations, magnitude } } : {}),
    ...(probability > 0 ? { erase: { ...publishedErasing, probability } } : {}),
  };
  return checkViewConfig({
    ...viewDefaults(model.channels),
    global: { heightPixels: side, widthPixels: side, views: [view] },
  });
}
