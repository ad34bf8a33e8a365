import { OptionError, ShapeError } from "../engine/index.ts";

/** Where the norms of a block stand: before attention and MLP (MAE), or after the residual sums (data2vec 2.0). */
export type VitKind = "prenorm" | "postnorm";

/**
 * Number format of activations and of the operands of products in memory. Parameters stay f32, and so does the arithmetic of sums,
 * norms and soft-max; `f16` needs the feature `shader-f16`.
 */
export type Precision = "f32" | "f16";

/**
 * Factors per channel on the output of attention and MLP before the residual sum (LayerScale, arXiv 2103.17239, § 2): none, or
 * trained parameters `ls1.gamma` and `ls2.gamma` of every block, as DINOv2 and timm name them.
 */
export type LayerScale = "none" | "parameters";

export const layerScales: readonly LayerScale[] = ["none", "parameters"];

/** Which grid axis the first half of a sin-cos position embedding encodes. */
export type PositionAxes = "row-first" | "column-first";

/** Sizes of a vision transformer. */
export interface VitConfig {
  readonly kind: VitKind;
  readonly patchPixels: number;
  /** Embedding width D. */
  readonly width: number;
  readonly blocks: number;
  readonly heads: number;
  /** Hidden width of the MLP. */
  readonly mlpWidth: number;
  readonly channels: number;
  /** Resolution that the stored position embedding belongs to. */
  readonly heightPixels: number;
  readonly widthPixels: number;
  readonly classTokens: number;
  /** LayerNorm epsilon. */
  readonly epsilon: number;
  /** Default none. */
  readonly layerScale: LayerScale;
}

/** Sizes by name; B, L from the ViT paper (arXiv 2010.11929, table 1), H/14 and 2B/14 as MIM-Refiner uses them (arXiv 2402.10093). */
export const vitPresets = {
  ti16: { patchPixels: 16, width: 192, blocks: 12, heads: 3 },
  s16: { patchPixels: 16, width: 384, blocks: 12, heads: 6 },
  b16: { patchPixels: 16, width: 768, blocks: 12, heads: 12 },
  l16: { patchPixels: 16, width: 1024, blocks: 24, heads: 16 },
  h14: { patchPixels: 14, width: 1280, blocks: 32, heads: 16 },
  twob14: { patchPixels: 14, width: 2560, blocks: 24, heads: 32 },
} as const;

export type VitPreset = keyof typeof vitPresets;

/** The parts of a config without a default. */
export type VitSizes = Pick<VitConfig, "patchPixels" | "width" | "blocks" | "heads"> & Partial<VitConfig>;

/**
 * A complete, checked config from a preset name or free sizes.
 *
 * @throws OptionError for an unknown preset or LayerScale, or a size that is not a positive integer
 * @throws ShapeError if the heads do not divide the width, or the patches do not tile the image
 */
export function vitConfig(sizes: VitPreset | VitSizes, changes: Partial<VitConfig> = {}): VitConfig {
  const chosen = typeof sizes === "string" ? presetSizes(sizes) : sizes;
  const config: VitConfig = {
    kind: "prenorm",
    mlpWidth: 4 * chosen.width,
    channels: 3,
    heightPixels: 224,
    widthPixels: 224,
    classTokens: 1,
    epsilon: 1e-6,
    layerScale: "none",
    ...chosen,
    ...changes,
  };
  checkConfig(config);
  return config;
}

function presetSizes(name: string): VitSizes {
  for (const [preset, sizes] of Object.entries(vitPresets)) if (preset === name) return sizes;
  throw new OptionError(`vit: no preset ${name}; choose from ${Object.keys(vitPresets).join(", ")} or give sizes`);
}

function checkConfig(config: VitConfig): void {
  const { width, heads, classTokens, ...rest } = config;
  for (const [name, value] of Object.entries({ width, heads, ...rest })) {
    if (typeof value === "number" && name !== "epsilon" && (!Number.isInteger(value) || value < 1)) {
      throw new OptionError(`vit: ${name} is ${value}, expected a positive integer`);
    }
  }
  if (!Number.isInteger(classTokens) || classTokens < 0) {
    throw new OptionError(`vit: classTokens is ${classTokens}, expected 0 or more`);
  }
  if (!layerScales.includes(config.layerScale)) {
    throw new OptionError(
      `vit: layerScale is ${JSON.stringify(config.layerScale)}; choose from ${layerScales.join(", ")}`,
    );
  }
  if (width % heads !== 0) {
    const choices = Array.from({ length: 64 }, (_, i) => i + 1).filter((count) => width % count === 0);
    throw new ShapeError(
      `vit: width ${width} is not divisible by ${heads} heads; choose heads from ${choices.join(", ")}`,
    );
  }
  gridOf(config, config.heightPixels, config.widthPixels);
}

/** Patches per column and row of an image. @throws ShapeError if the patches do not tile it */
export function gridOf(
  config: Pick<VitConfig, "patchPixels">,
  heightPixels: number,
  widthPixels: number,
): [number, number] {
  const { patchPixels } = config;
  if (heightPixels % patchPixels !== 0 || widthPixels % patchPixels !== 0) {
    throw new ShapeError(
      `vit: an image of ${heightPixels} × ${widthPixels} pixels is not a multiple of the patch size ${patchPixels}; resize it to ${Math.ceil(heightPixels / patchPixels) * patchPixels} × ${Math.ceil(widthPixels / patchPixels) * patchPixels}`,
    );
  }
  return [heightPixels / patchPixels, widthPixels / patchPixels];
}
