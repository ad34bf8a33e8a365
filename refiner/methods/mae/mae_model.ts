import { type Device, OptionError } from "../../../engine/index.ts";
import {
  initializeParameters,
  type MaeDecoderConfig,
  MaskedAutoencoder,
  maeDecoderParameters,
  VisionTransformer,
  type VitConfig,
  vitParameters,
} from "../../../models/index.ts";
import { continuedSettings } from "./model_settings.ts";
import { type PretrainConfig, pretrainModel } from "./pretrain_config.ts";

/** What a pre-training may begin from: an encoder, which gets a new decoder, or both. */
export type GivenModel = VisionTransformer | MaskedAutoencoder;

/** A masked autoencoder to be trained, and how to free what of it was not given. */
interface StartedModel {
  readonly model: MaskedAutoencoder;
  readonly free: () => void;
}

/** Sizes of the decoder that the settings describe. */
export function decoderOf({ decoderWidth, decoderBlocks, decoderHeads }: PretrainConfig): MaeDecoderConfig {
  return { width: decoderWidth, blocks: decoderBlocks, heads: decoderHeads };
}

/**
 * The model of a pre-training: what is not given gets random weights.
 *
 * @throws OptionError where the settings describe another model than the given one
 */
export function startModel(
  device: Device,
  config: PretrainConfig,
  channels: 1 | 3,
  given: GivenModel | undefined,
): StartedModel {
  if (!given) return newModel(device, config, pretrainModel(config, channels));
  const isWhole = given instanceof MaskedAutoencoder;
  const encoder = isWhole ? given.encoder : given;
  continuedSettings({ ...config }, encoder.config, isWhole ? given.decoder : undefined);
  if (encoder.config.channels !== channels)
    throw new OptionError(
      `pretrain: the images have ${channels} channels, the given model takes ${encoder.config.channels}; open the images with that number`,
    );
  if (isWhole) return { model: given, free: () => undefined };
  const model = withNewDecoder(encoder, config);
  return { model, free: () => model.destroyDecoder() };
}

function newModel(device: Device, config: PretrainConfig, vit: VitConfig): StartedModel {
  const encoder = new VisionTransformer(device, vit);
  initializeParameters(encoder.parameters, vitParameters(vit), config.seed, { layerScale: config.layerScaleStart });
  const model = withNewDecoder(encoder, config);
  encoder.writeSincosPositions("column-first");
  return {
    model,
    free() {
      model.destroyDecoder();
      encoder.destroy();
    },
  };
}

/** The positions of the encoder stay as they are. */
function withNewDecoder(encoder: VisionTransformer, config: PretrainConfig): MaskedAutoencoder {
  const model = new MaskedAutoencoder(encoder, decoderOf(config));
  initializeParameters(model.decoderParameters, maeDecoderParameters(encoder.config, model.decoder), config.seed);
  model.writeDecoderPositions();
  return model;
}
