import type { Device } from "../../engine/index.ts";
import {
  completeConfig,
  formatReport,
  loadEncoder,
  openEncoder,
  type VisionTransformer,
  type VitConfig,
} from "../../models/index.ts";
import type { Output } from "../output/streams.ts";
import { type EncoderCommandOptions, encoderOptions } from "../program/options.ts";
import { imageChannels } from "./image_channels.ts";
import { withCheckpoint } from "./with_checkpoint.ts";

/** Sizes of the encoder of a file. @throws OptionError where nothing tells its heads */
export async function encoderConfig(weights: string, options: EncoderCommandOptions): Promise<VitConfig> {
  const { config } = await withCheckpoint(weights, (file) => openEncoder(file, encoderOptions(options), weights));
  return completeConfig(config, weights);
}

/** Channels of the images that the encoder of a file takes. */
export async function channelsOf(weights: string, options: EncoderCommandOptions): Promise<1 | 3> {
  const { config } = await withCheckpoint(weights, (file) => openEncoder(file, encoderOptions(options), weights));
  return imageChannels(config, weights);
}

/**
 * The encoder of a file.
 *
 * @param output - where to report what was loaded; absent for a second copy
 */
export async function loadWeights(
  device: Device,
  weights: string,
  options: EncoderCommandOptions,
  output?: Output,
): Promise<VisionTransformer> {
  const { model, report } = await withCheckpoint(weights, (file) =>
    loadEncoder(device, file, encoderOptions(options), weights),
  );
  for (const line of formatReport(report)) output?.notice(line);
  return model;
}
