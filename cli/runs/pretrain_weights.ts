import type { Checkpoint } from "../../engine/files/index.ts";
import type { Device } from "../../engine/index.ts";
import {
  completeConfig,
  formatReport,
  loadEncoder,
  loadMae,
  type MaeDecoderConfig,
  type MaeOptions,
  maeDecoderConfig,
  openEncoder,
  VisionTransformer,
  type VitConfig,
} from "../../models/index.ts";
import type { GivenModel } from "../../refiner/index.ts";
import { withCheckpoint } from "../checkpoints/with_checkpoint.ts";
import type { Output } from "../output/streams.ts";
import { type EncoderCommandOptions, encoderInputs, encoderOptions } from "../program/options.ts";

/** How weights that a pre-training goes on from are read; heads are settings there. */
export type LoadingOptions = Omit<EncoderCommandOptions, "attentionHeads">;

/** Those options of a command, without the ones that were not given. */
export function loadingInputs(options: LoadingOptions): LoadingOptions {
  const { attentionHeads: _, ...given } = encoderInputs(options);
  return given;
}

/** The same for the loader, with the heads that the settings tell. */
export function maeOptions(options: LoadingOptions, settings: Readonly<Record<string, unknown>>): MaeOptions {
  const { attentionHeads, decoderHeads } = settings;
  return {
    ...encoderOptions(loadingInputs(options)),
    ...(typeof attentionHeads === "number" ? { heads: attentionHeads } : {}),
    ...(typeof decoderHeads === "number" ? { decoderHeads } : {}),
  };
}

/** The model in a file, by its sizes; nothing but positions is read. */
export async function modelOfFile(
  weights: string,
  options: MaeOptions,
): Promise<{ readonly encoder: VitConfig; readonly decoder: MaeDecoderConfig | undefined }> {
  return withCheckpoint(weights, async (file) => {
    const { config } = await openEncoder(file, options, weights);
    return { encoder: completeConfig(config, weights), decoder: maeDecoderConfig(file, options, weights) };
  });
}

/** Loads the model of a file, with its decoder if it has one; says what was loaded, and where a decoder is new. */
export async function loadGivenModel(
  device: Device,
  weights: string,
  options: MaeOptions,
  output: Output,
): Promise<GivenModel> {
  return withCheckpoint(weights, async (file) => {
    const { model, report } = await loadStored(device, file, options, weights);
    for (const line of formatReport(report)) output.notice(line);
    if (model instanceof VisionTransformer)
      output.notice(`${weights}: no decoder is in the file; a new one begins with random weights`);
    return model;
  });
}

function loadStored(device: Device, file: Checkpoint, options: MaeOptions, weights: string) {
  return maeDecoderConfig(file, options, weights)
    ? loadMae(device, file, options, weights)
    : loadEncoder(device, file, options, weights);
}
