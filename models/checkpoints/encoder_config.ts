import { OptionError } from "../../engine/index.ts";
import { type LayerScale, type VitConfig, vitPresets } from "../vit_config.ts";
import { UnknownModelError } from "./errors.ts";
import type { PositionGrid } from "./position_grid.ts";
import { refuseContradictions, type StatedConfig, statedNumber } from "./stated_config.ts";

/** A config whose number of heads may be unknown: weights do not show it. */
export type StoredConfig = Omit<VitConfig, "heads"> & { readonly heads?: number };

/** What the tensors themselves show. */
export interface Sizes {
  readonly patchWeight: readonly number[];
  readonly mlpWidth: number | undefined;
  readonly blocks: number;
  readonly classTokens: number;
  readonly isPostnorm: boolean;
  readonly isTransformers: boolean;
  /** Where the encoder stands in the file, which may tell who trained it. */
  readonly place: string;
  /** Whether the file holds factors of LayerScale. */
  readonly hasGains: boolean;
}

/**
 * The config of a stored encoder from its shapes, and from what the file says about itself.
 *
 * @param layerScale - of the encoder that is read, whose factors may have been folded into other layers
 * @throws UnknownModelError if shapes and statements contradict each other, or the shapes are of another architecture
 * @throws OptionError for heads that do not divide the width
 */
export function storedConfig(
  stated: StatedConfig,
  sizes: Sizes,
  positions: PositionGrid | undefined,
  layerScale: LayerScale,
  options: { readonly heads?: number; readonly epsilon?: number; readonly resolution?: readonly [number, number] },
  file: string,
): StoredConfig {
  const [width = 0, channels = 0, patchPixels = 0, patchColumns] = sizes.patchWeight;
  if (sizes.patchWeight.length !== 4 || patchColumns !== patchPixels || sizes.patchWeight.includes(0)) {
    throw new UnknownModelError(
      `${file}: the patch embedding has shape [${sizes.patchWeight}], expected [width, channels, patch, patch]; video models and patches that are not square are not supported`,
    );
  }
  if (sizes.blocks < 1)
    throw new UnknownModelError(
      `${file}: a patch embedding, but no blocks (blocks.0.…); give the checkpoint of a plain ViT`,
    );
  const heads = storedHeads(stated, width, options, sizes.place, file);
  const sides = positions
    ? { heightPixels: positions.rows * patchPixels, widthPixels: positions.columns * patchPixels }
    : unstoredSides(stated, patchPixels);
  const shown = {
    kind: sizes.isPostnorm ? "postnorm" : "prenorm",
    patchPixels,
    width,
    blocks: sizes.blocks,
    mlpWidth: sizes.mlpWidth ?? 4 * width,
    channels,
    classTokens: sizes.classTokens,
  } as const;
  const resolution = options.resolution || !positions ? {} : sides;
  refuseContradictions(stated, { ...shown, ...resolution, layerScale: sizes.hasGains ? "parameters" : "none" }, file);
  return {
    ...shown,
    ...sides,
    ...(heads === undefined ? {} : { heads }),
    // transformers' ViTConfig has layer_norm_eps 1e-12, all others 1e-6.
    epsilon: options.epsilon ?? statedNumber(stated, "epsilon") ?? (sizes.isTransformers ? 1e-12 : defaultEpsilon),
    layerScale,
  };
}

/** @throws OptionError if the heads do not divide the width */
function storedHeads(
  stated: StatedConfig,
  width: number,
  options: { readonly heads?: number },
  place: string,
  file: string,
): number | undefined {
  const heads = options.heads ?? statedNumber(stated, "heads") ?? headsOfWidth(width, place);
  if (heads === undefined || (Number.isInteger(heads) && heads >= 1 && width % heads === 0)) return heads;
  throw new OptionError(
    `${file}: ${heads} attention heads do not divide the width ${width}; give a divisor of it (--attention-heads)`,
  );
}

/** Where no positions are stored: the resolution that the file states, or that of all presets. */
function unstoredSides(stated: StatedConfig, patchPixels: number): { heightPixels: number; widthPixels: number } {
  const side = Math.floor(224 / patchPixels) * patchPixels;
  const sideOf = (key: "heightPixels" | "widthPixels"): number => statedNumber(stated, key) ?? side;
  return { heightPixels: sideOf("heightPixels"), widthPixels: sideOf("widthPixels") };
}

/** What readers take where a file does not tell the epsilon of the norms: the authors', MAE's and timm's value. */
export const defaultEpsilon = 1e-6;

/** Heads of the published models by width; other widths have no usual number. */
export function headsOfWidth(width: number, place = ""): number | undefined {
  // MoCo v3 gives 12 heads to its ViT-S, too (vits.py); its files name the two encoders so.
  if (width === 384 && /(^|[/.])(base|momentum)_encoder\./.test(place)) return 12;
  return Object.values(vitPresets).find((preset) => preset.width === width)?.heads;
}

/** What to say about a number of heads that no one stated; weights do not show it. */
export function headsNote(
  { heads, width }: StoredConfig,
  stated: StatedConfig,
  options: { readonly heads?: number },
): string[] {
  if (heads === undefined || options.heads !== undefined || statedNumber(stated, "heads") !== undefined) return [];
  return [
    `attention heads: ${heads} is a guess from the width ${width}, the usual number; if that is wrong, give it (--attention-heads)`,
  ];
}
