import type { VitConfig } from "../../models/index.ts";
import { adviceForFewUpdates, presetEncoder, type RefineSettings, refineConfig } from "../../refiner/index.ts";
import { encoderConfig } from "../checkpoints/encoder_of_file.ts";
import { imageChannels } from "../checkpoints/image_channels.ts";
import type { Output } from "../output/streams.ts";
import { type ImageOptions, openCommandImages } from "../program/open_images.ts";
import { type CommonOptions, type EncoderCommandOptions, openCommandDevice } from "../program/options.ts";
import { UsageError } from "../program/usage_error.ts";
import { printDryRun } from "./dry_run.ts";
import { fewUpdatesText } from "./refine_progress.ts";

/** Options of `refine` that its plan depends on. */
export interface RefinePlanOptions extends CommonOptions, EncoderCommandOptions, ImageOptions {
  readonly weights?: string;
  readonly images?: string;
  readonly memory?: number;
  readonly ranks?: number;
  readonly bandwidth?: number;
}

/** Images of ImageNet-1k's training set, which the published recipes are for. */
const imageNetImages = 1_281_167;

/** Prints what a refinement would take. */
export async function planRefine(
  options: RefinePlanOptions,
  given: { readonly settings: RefineSettings; readonly preset?: string },
  output: Output,
): Promise<void> {
  const settings = refineConfig(given.settings);
  // What a plan tells beside itself is what auto would choose.
  const config = { ...settings, offload: settings.offload.filter((what) => what !== "auto") };
  const vit = await plannedEncoder(options, given.preset);
  const source =
    options.images === undefined
      ? undefined
      : await openCommandImages(
          options.images,
          { channels: imageChannels(vit, options.weights ?? "the preset"), imageKey: options.imageKey },
          output,
        );
  const images = source?.length ?? imageNetImages;
  if (!source) output.notice(`no --images: planned for the ${imageNetImages} images of ImageNet-1k`);
  const device = await openCommandDevice(options, output);
  try {
    const advice = adviceForFewUpdates(config, images);
    if (advice) output.notice(fewUpdatesText(advice, config));
    const { memory: memoryBytes, ranks = 1, bandwidth: bytesPerSecond } = options;
    const shared = ranks > 1 ? { shared: { ranks, bytesPerSecond } } : {};
    await printDryRun({ device, vit, config, images, memoryBytes, advice, ...shared }, output);
  } finally {
    device.close();
    await source?.close?.();
  }
}

/** The encoder of the weights, or the one that a preset was published for. @throws UsageError if there is neither */
async function plannedEncoder(options: RefinePlanOptions, preset: string | undefined): Promise<VitConfig> {
  const { weights } = options;
  if (weights === undefined) {
    const vit = preset === undefined ? undefined : presetEncoder(preset);
    if (vit) return vit;
    throw new UsageError("refine: --dry-run needs --weights, or a --preset that tells the encoder, such as mae_l16");
  }
  return encoderConfig(weights, options);
}
