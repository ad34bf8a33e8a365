import { OptionError } from "../../../engine/index.ts";
import type { MaeDecoderConfig, VitConfig } from "../../../models/index.ts";
import type { PretrainConfig } from "./pretrain_config.ts";

const encoderKeys = ["kind", "pixels", "patch", "width", "blocks", "attentionHeads", "mlpWidth", "layerScaleStart"];
const decoderKeys = ["decoderWidth", "decoderBlocks", "decoderHeads"];

/**
 * The settings of pre-training that a given model decides: of its encoder, and of its decoder where it has one. What is
 * missing can be chosen.
 *
 * @throws OptionError for an encoder that is no encoder of a masked autoencoder: post-norm, without a class token or with several,
 *   or of a resolution that is no square
 */
export function modelSettings(vit: VitConfig, decoder?: MaeDecoderConfig): Partial<PretrainConfig> {
  const { kind, classTokens, heightPixels, widthPixels } = vit;
  const reason =
    (kind !== "prenorm" && "is post-norm") ||
    (classTokens !== 1 && `has ${classTokens} class tokens`) ||
    (heightPixels !== widthPixels && `takes ${heightPixels} x ${widthPixels} pixels`);
  if (reason)
    throw new OptionError(
      `pretrain: the given encoder ${reason}; a masked autoencoder has a pre-norm encoder with one class token for square images: give the weights of such a one`,
    );
  return {
    kind: "prenorm",
    pixels: heightPixels,
    patch: vit.patchPixels,
    width: vit.width,
    blocks: vit.blocks,
    attentionHeads: vit.heads,
    mlpWidth: usualMlp(vit.mlpWidth, vit),
    layerScaleStart: 0, // its factors, where it has some, begin as they are
    ...(decoder
      ? { decoderWidth: decoder.width, decoderBlocks: decoder.blocks, decoderHeads: decoder.heads }
      : undefined),
  };
}

/** 0 stands for four times the width. */
function usualMlp(mlpWidth: number, { width }: { readonly width: number }): number {
  return mlpWidth === 4 * width ? 0 : mlpWidth;
}

/**
 * Settings of a pre-training that goes on from a given model.
 *
 * @param given - may leave out all that the model decides
 * @throws OptionError where a setting says another model; and what {@link modelSettings} throws
 */
export function continuedSettings(
  given: Readonly<Record<string, unknown>>,
  vit: VitConfig,
  decoder?: MaeDecoderConfig,
): Record<string, unknown> {
  const decided: Readonly<Record<string, unknown>> = modelSettings(vit, decoder);
  for (const key of [...encoderKeys, ...(decoder ? decoderKeys : [])]) {
    const value = key === "mlpWidth" && typeof given[key] === "number" ? usualMlp(given[key], vit) : given[key];
    if (value === undefined || value === decided[key]) continue;
    throw new OptionError(
      `pretrain: ${key} is ${String(value)}, the given model has ${String(decided[key])}; leave it out where a model is given (--weights), which decides it`,
    );
  }
  return { ...given, ...decided };
}
