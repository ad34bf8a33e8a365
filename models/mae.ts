import {
  Arena,
  add,
  cast,
  concat,
  type Device,
  div,
  expand,
  gather,
  linear,
  mean,
  mul,
  OptionError,
  patchify,
  reshape,
  slice,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
} from "../engine/index.ts";
import { blockSizes, blockStack } from "./block_stack.ts";
import { dense, embedPatches, norm } from "./layers.ts";
import { blockParameters, linearParameters, normParameters, type ParameterEntry } from "./parameters.ts";
import { sincosPositions } from "./positions.ts";
import type { VisionTransformer } from "./vit.ts";
import { gridOf, type Precision, type VitConfig } from "./vit_config.ts";

/** Sizes of the decoder of a masked autoencoder. */
export interface MaeDecoderConfig {
  readonly width: number;
  readonly blocks: number;
  readonly heads: number;
  /** Hidden width of the MLP; default four times the width. */
  readonly mlpWidth?: number;
}

/**
 * How target patches are normalised: not, by the unbiased variance (Facebook's MAE), or by the biased one (the refiner's
 * code base).
 */
export type PixelNormalization = "none" | "unbiased" | "biased";

/** Which patches of each image the encoder sees, as row indices for the kernels. */
export interface MaskIndices {
  /** `[B · kept]`: rows of the `[B · N]` patch matrix, in shuffled order. */
  readonly keptRows: Uint32Array;
  /** `[B · kept]`: the same as positions in the grid. */
  readonly keptPositions: Uint32Array;
  /** `[B · N]`: rows of `[B · (kept + classTokens)]` decoder tokens, or the mask token's row after them. */
  readonly restoreRows: Uint32Array;
  /** `[B · N]`: 0 kept, 1 removed, in image order. */
  readonly mask: Float32Array;
  readonly kept: number;
}

/**
 * Mask of a batch from uniform noise: the `floor(N (1 - ratio))` patches with the least noise are kept (MAE, § 3).
 *
 * @param noise - `[B, N]`
 * @throws OptionError if the ratio keeps no patch or all of them
 */
export function maskFromNoise(noise: ArrayLike<number>, patches: number, ratio: number, classTokens = 1): MaskIndices {
  const kept = Math.floor(patches * (1 - ratio));
  if (kept < 1 || kept >= patches) {
    throw new OptionError(
      `mae: a mask ratio of ${ratio} keeps ${kept} of ${patches} patches; choose a ratio between 0 and ${1 - 1 / patches}`,
    );
  }
  const batch = noise.length / patches;
  const keptRows = new Uint32Array(batch * kept);
  const keptPositions = new Uint32Array(batch * kept);
  const restoreRows = new Uint32Array(batch * patches).fill(batch * (kept + classTokens));
  const mask = new Float32Array(batch * patches).fill(1);
  for (let b = 0; b < batch; b++) {
    const first = b * patches;
    const order = Array.from({ length: patches }, (_, i) => i).sort(
      (i, j) => (noise[first + i] ?? 0) - (noise[first + j] ?? 0) || i - j,
    );
    order.slice(0, kept).forEach((patch, rank) => {
      keptRows[b * kept + rank] = first + patch;
      keptPositions[b * kept + rank] = patch;
      restoreRows[first + patch] = b * (kept + classTokens) + classTokens + rank;
      mask[first + patch] = 0;
    });
  }
  return { keptRows, keptPositions, restoreRows, mask, kept };
}

/** The mask of a batch as tensors of a program. */
export interface MaskTensors {
  readonly keptRows: Tensor;
  readonly keptPositions: Tensor;
  readonly restoreRows: Tensor;
  readonly mask: Tensor;
}

/** Encoder and decoder parameters of a masked autoencoder, decoder names as Facebook's MAE has them. */
export function maeDecoderParameters(config: VitConfig, decoder: MaeDecoderConfig): ParameterEntry[] {
  const { width, blocks, mlpWidth = 4 * width } = decoder;
  const depth = config.blocks + 1;
  const pixels = config.channels * config.patchPixels ** 2;
  const entries: ParameterEntry[] = [
    ...linearParameters("decoder_embed", config.width, width, depth),
    { name: "mask_token", shape: [1, 1, width], initialization: "token", depth },
  ];
  for (let j = 0; j < blocks; j++) entries.push(...blockParameters(`decoder_blocks.${j}`, width, mlpWidth, depth));
  return [
    ...entries,
    ...normParameters("decoder_norm", width, depth),
    ...linearParameters("decoder_pred", width, pixels, depth),
  ];
}

export interface MaeForwardOptions {
  /** Default unbiased. */
  readonly normalization?: PixelNormalization;
  /** Of encoder and decoder. Default f32. */
  readonly precision?: Precision;
}

/** What a masked autoencoder computes for a batch. */
export interface MaeResult {
  /** Encoder output after its norm, `[B · (kept + classTokens), D]`, in the precision asked for. */
  readonly latent: Tensor;
  /** `[B, N, p·p·C]` f32, inside a patch row, column, channel. */
  readonly prediction: Tensor;
  /** Pixels of the images in the same order. */
  readonly target: Tensor;
  /** Mean square error over the removed patches. */
  readonly loss: Tensor;
}

/** A masked autoencoder (arXiv 2111.06377): the encoder sees the kept patches only. */
export class MaskedAutoencoder {
  readonly decoderParameters: Arena;
  /** Fixed decoder positions `[1, rows, columns, decoder width]`. */
  readonly decoderPositions: Tensor;

  constructor(
    readonly encoder: VisionTransformer,
    readonly decoder: MaeDecoderConfig,
  ) {
    const { device, config } = encoder;
    if (config.kind !== "prenorm") throw new OptionError("mae: the encoder must be pre-norm, as published");
    if (decoder.width % decoder.heads !== 0)
      throw new OptionError(
        `mae: decoder width ${decoder.width} is not divisible by ${decoder.heads} heads; change one`,
      );
    this.decoderParameters = new Arena(device, "decoder", maeDecoderParameters(config, decoder));
    const [rows, columns] = gridOf(config, config.heightPixels, config.widthPixels);
    this.decoderPositions = device.zeros([1, rows, columns, decoder.width], "f32", "decoder_pos_embed");
  }

  get device(): Device {
    return this.encoder.device;
  }

  /** Frees the decoder; the encoder stays. */
  destroyDecoder(): void {
    this.decoderParameters.destroy();
    this.decoderPositions.destroy();
  }

  /** Writes sin-cos positions for encoder and decoder, column first as Facebook's MAE has them. */
  writeSincosPositions(): void {
    this.encoder.writeSincosPositions("column-first");
    this.writeDecoderPositions();
  }

  /** Writes sin-cos positions for the decoder alone: those of a given encoder may be others. */
  writeDecoderPositions(): void {
    const [, rows = 1, columns = 1, width = 4] = this.decoderPositions.shape;
    this.device.write(this.decoderPositions, sincosPositions(rows, columns, width, "column-first"));
  }

  /**
   * Encodes the kept patches, decodes all and compares the removed ones with the pixels.
   *
   * @param images - `[B, C, H, W]`, normalised, of the encoder's resolution
   * @throws MissingFeatureError for f16 on a device without it
   */
  forward(images: Tensor, mask: MaskTensors, options: MaeForwardOptions = {}): MaeResult {
    const { normalization = "unbiased", precision = "f32" } = options;
    const latent = this.encode(images, mask, precision);
    const prediction = this.decode(latent, mask, images.shape[0] ?? 1);
    const target = patchify(images, { patchPixels: this.encoder.config.patchPixels, order: "row-column-channel" });
    return { latent, prediction, target, loss: maskedLoss(prediction, target, mask.mask, normalization) };
  }

  /** Token rows `[B · (kept + classTokens), D]` of the kept patches, after the last norm. */
  encode(images: Tensor, mask: MaskTensors, precision: Precision = "f32"): Tensor {
    if (precision === "f16") this.device.requireFeature("mae: precision f16", "shader-f16");
    const { config, parameters, positions } = this.encoder;
    const batch = images.shape[0] ?? 1;
    const { patches } = this.encoder.patches(images);
    const width = config.width;
    const visible = gather(reshape(patches, [-1, patches.shape.at(-1) ?? 1]), mask.keptRows);
    const placed = gather(reshape(positions, [-1, width]), mask.keptPositions);
    const kept = mask.keptRows.size / batch;
    const tokens = reshape(embedPatches(parameters, cast(visible, precision), cast(placed, precision)), [
      batch,
      kept,
      width,
    ]);
    const classes = cast(expand(parameters.get("cls_tokens.tokens"), [batch, config.classTokens, width]), precision);
    const total = kept + config.classTokens;
    const rows = reshape(concat([classes, tokens], 1), [batch * total, width]);
    const segments = [{ firstRow: 0, batch, tokens: total }];
    const outputs = blockStack(parameters, "blocks", rows, { ...blockSizes(config), segments });
    return norm(parameters, "norm", outputs.at(-1) ?? rows, config.epsilon);
  }

  /** Predicted pixels `[B, N, p·p·C]` from the encoder's output. */
  decode(latent: Tensor, mask: MaskTensors, batch: number): Tensor {
    const { decoder, decoderParameters: parameters, encoder } = this;
    const { classTokens, epsilon } = encoder.config;
    const patches = mask.restoreRows.size / batch;
    const embed = dense(parameters, "decoder_embed");
    // Rows are put in order in f32, so that the gradient of the mask token is summed over all images without rounding to f16.
    const known = cast(linear(latent, embed.weight, { bias: embed.bias }), "f32");
    const rows = concat([known, reshape(parameters.get("mask_token"), [1, decoder.width])], 0);
    const restored = reshape(gather(rows, mask.restoreRows), [batch, patches, decoder.width]);
    const placed = add(restored, reshape(this.decoderPositions, [1, patches, decoder.width]));
    const perImage = reshape(known, [batch, known.size / (batch * decoder.width), decoder.width]);
    const classes = slice(perImage, [undefined, [0, classTokens], undefined]);
    const total = patches + classTokens;
    const placedRows = cast(reshape(concat([classes, placed], 1), [batch * total, decoder.width]), latent.dtype);
    const segments = [{ firstRow: 0, batch, tokens: total }];
    const { blocks, heads } = decoder;
    const stack = { kind: "prenorm", blocks, heads, epsilon, segments } as const;
    const decoded = blockStack(parameters, "decoder_blocks", placedRows, stack).at(-1) ?? placedRows;
    const x = norm(parameters, "decoder_norm", decoded, epsilon);
    const predict = dense(parameters, "decoder_pred");
    const pixels = cast(linear(x, predict.weight, { bias: predict.bias }), "f32");
    const columns = pixels.shape.at(-1) ?? 1;
    return slice(reshape(pixels, [batch, total, columns]), [undefined, [classTokens, total], undefined]);
  }
}

/** Added to the variance before the root (Facebook's MAE, `models_mae.py`). */
const varianceEpsilon = 1e-6;

/**
 * Mean square error per patch, averaged over the removed patches.
 *
 * @param prediction - `[B, N, P]`
 * @param mask - `[B, N]`, 1 where a patch was removed
 */
export function maskedLoss(
  prediction: Tensor,
  target: Tensor,
  mask: Tensor,
  normalization: PixelNormalization,
): Tensor {
  const goal = normalization === "none" ? target : normalizePatches(target, normalization);
  const perPatch = mean(square(sub(prediction, goal)), { axes: [-1] });
  return div(sum(mul(perPatch, reshape(mask, perPatch.shape))), sum(mask));
}

/** (t - mean) / sqrt(var + 1e-6) per patch. */
function normalizePatches(target: Tensor, normalization: PixelNormalization): Tensor {
  const count = target.shape.at(-1) ?? 1;
  const centred = sub(target, mean(target, { axes: [-1], keepDims: true }));
  const squares = mean(square(centred), { axes: [-1], keepDims: true });
  const variance = normalization === "unbiased" ? mul(squares, count / (count - 1)) : squares;
  return div(centred, sqrt(add(variance, varianceEpsilon)));
}
