import { OptionError, ShapeError } from "../core/errors.ts";
import { checkRank, showShape } from "../core/shape.ts";
import { reshape, type Tensor } from "../core/tensor.ts";
import { permute } from "./permute.ts";

/** Order of the values inside a patch: as a convolution weight is stored, or as the MAE target is (channel fastest). */
export type PatchOrder = "channel-row-column" | "row-column-channel";

export interface PatchOptions {
  /** Side of the square patches. */
  readonly patchPixels: number;
  /** Default `channel-row-column`. */
  readonly order?: PatchOrder;
}

/**
 * Cuts images into patches, row by row.
 *
 * @param images - `[B, C, H, W]`
 * @returns `[B, (H / p) * (W / p), C * p * p]`
 * @throws RankError, ShapeError if the sides are not multiples of the patch
 */
export function patchify(images: Tensor, { patchPixels, order = "channel-row-column" }: PatchOptions): Tensor {
  checkRank("patchify", "images", images, 4);
  const [batch = 1, channels = 1, height = 1, width = 1] = images.shape;
  const { gridRows, gridColumns } = gridOf("patchify", height, width, patchPixels);
  const split = reshape(images, [batch, channels, gridRows, patchPixels, gridColumns, patchPixels]);
  const axes = order === "channel-row-column" ? [0, 2, 4, 1, 3, 5] : [0, 2, 4, 3, 5, 1];
  return reshape(permute(split, axes), [batch, gridRows * gridColumns, channels * patchPixels * patchPixels]);
}

export interface ImageOptions extends PatchOptions {
  readonly channels: number;
  readonly heightPixels: number;
  readonly widthPixels: number;
}

/**
 * Puts patches together again; the inverse of {@link patchify}.
 *
 * @param patches - `[B, (H / p) * (W / p), C * p * p]`
 * @returns `[B, C, H, W]`
 * @throws RankError, ShapeError
 */
export function unpatchify(patches: Tensor, options: ImageOptions): Tensor {
  const { channels, heightPixels, widthPixels, patchPixels, order = "channel-row-column" } = options;
  checkRank("unpatchify", "patches", patches, 3);
  const { gridRows, gridColumns } = gridOf("unpatchify", heightPixels, widthPixels, patchPixels);
  const [batch = 1, count, values] = patches.shape;
  if (count !== gridRows * gridColumns || values !== channels * patchPixels * patchPixels) {
    throw new ShapeError(
      `unpatchify: patches have shape ${showShape(patches.shape)}, expected ${showShape([batch, gridRows * gridColumns, channels * patchPixels * patchPixels])} for ${channels} × ${heightPixels} × ${widthPixels} pixels`,
    );
  }
  const channelFirst = order === "channel-row-column";
  const inside = channelFirst ? [channels, patchPixels, patchPixels] : [patchPixels, patchPixels, channels];
  const split = reshape(patches, [batch, gridRows, gridColumns, ...inside]);
  const axes = channelFirst ? [0, 3, 1, 4, 2, 5] : [0, 5, 1, 3, 2, 4];
  return reshape(permute(split, axes), [batch, channels, heightPixels, widthPixels]);
}

function gridOf(operation: string, height: number, width: number, patchPixels: number) {
  if (!Number.isInteger(patchPixels) || patchPixels < 1) {
    throw new OptionError(`${operation}: patchPixels is ${patchPixels}, expected a positive integer`);
  }
  if (height % patchPixels !== 0 || width % patchPixels !== 0) {
    throw new ShapeError(
      `${operation}: ${height} × ${width} pixels do not divide into patches of ${patchPixels}; resize or crop the images`,
    );
  }
  return { gridRows: height / patchPixels, gridColumns: width / patchPixels };
}
