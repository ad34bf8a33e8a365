import type { Device } from "../../engine/index.ts";
import type { VisionTransformer } from "../../models/index.ts";
import {
  type FinetuneConfig,
  finetuneConfig,
  type GivenModel,
  type ImageSource,
  type PretrainConfig,
  pretrainConfig,
  type RefineConfig,
  refineConfig,
} from "../../refiner/index.ts";
import { channelsOf, loadWeights } from "../checkpoints/encoder_of_file.ts";
import type { Output } from "../output/streams.ts";
import { openCommandImages } from "../program/open_images.ts";
import { UsageError } from "../program/usage_error.ts";
import { closeFinetuneImages, openFinetuneImages } from "./finetune_images.ts";
import { loadGivenModel, maeOptions } from "./pretrain_weights.ts";
import { firstOf } from "./report_pictures.ts";
import type { StoredRun } from "./stored_run.ts";
import { requireFiles } from "./weights_inputs.ts";

interface Opened<Config> {
  readonly config: Config;
  /** That the run trains on. */
  readonly images: ImageSource;
}

/** What is done with a stored training, by its method. */
export interface TrainingUses<Result> {
  refine(opened: Opened<RefineConfig> & { readonly encoder: VisionTransformer }): Promise<Result>;
  pretrain(
    opened: Opened<PretrainConfig> & { readonly device: Device; readonly encoder?: GivenModel },
  ): Promise<Result>;
  finetune(opened: Opened<FinetuneConfig> & { readonly encoder: VisionTransformer }): Promise<Result>;
}

export interface StoredTrainingOptions {
  /** Of errors. */
  readonly command: string;
  readonly device: Device;
  readonly output: Output;
}

/**
 * Opens images and weights of a stored run as its command did, and closes them behind the use.
 *
 * @throws UsageError where the run is no training
 */
export async function withStoredTraining<Result>(
  stored: StoredRun,
  options: StoredTrainingOptions,
  uses: TrainingUses<Result>,
): Promise<Result> {
  const began = stored.command ?? "an older version";
  if (began === "pretrain") return withPretraining(stored, options, uses);
  if (began === "finetune") return withFinetuning(stored, options, uses);
  if (began === "refine" || began === "demo") return withRefinement(stored, options, uses);
  throw new UsageError(`${options.command}: the run is one of ${began}; give one of refine, pretrain or finetune`);
}

async function withRefinement<Result>(
  stored: StoredRun,
  { device, output }: StoredTrainingOptions,
  uses: TrainingUses<Result>,
): Promise<Result> {
  const config = refineConfig(stored.settings);
  const files = requireFiles("refine", stored);
  const { weights } = files;
  const decoding = { channels: await channelsOf(weights, files), workers: config.workers, imageKey: files.imageKey };
  const opening = await openCommandImages(files.images, decoding, output);
  const images = files.firstImages === undefined ? opening : firstOf(opening, files.firstImages);
  try {
    return await uses.refine({ encoder: await loadWeights(device, weights, files), images, config });
  } finally {
    await opening.close?.();
  }
}

async function withPretraining<Result>(
  stored: StoredRun,
  { device, output }: StoredTrainingOptions,
  uses: TrainingUses<Result>,
): Promise<Result> {
  const config = pretrainConfig(stored.settings);
  const { weights, channels, imageKey } = stored;
  const decoding = { ...(channels === undefined ? {} : { channels }), workers: config.workers, imageKey };
  const images = await openCommandImages(stored.images, decoding, output);
  try {
    const encoder =
      weights === undefined ? undefined : await loadGivenModel(device, weights, maeOptions(stored, config), output);
    return await uses.pretrain({ device, images, config, ...(encoder === undefined ? {} : { encoder }) });
  } finally {
    await images.close?.();
  }
}

async function withFinetuning<Result>(
  stored: StoredRun,
  { device, output }: StoredTrainingOptions,
  uses: TrainingUses<Result>,
): Promise<Result> {
  const config = finetuneConfig(stored.settings);
  const files = requireFiles("finetune", stored);
  const { weights, test } = files;
  const decoding = { channels: await channelsOf(weights, files), workers: config.workers, imageKey: files.imageKey };
  const source = await openCommandImages(files.images, decoding, output);
  const images = await openFinetuneImages(source, { test, evaluate: stored.evaluate !== false, decoding }, output);
  try {
    return await uses.finetune({ encoder: await loadWeights(device, weights, files), images: images.train, config });
  } finally {
    await closeFinetuneImages(images);
  }
}
