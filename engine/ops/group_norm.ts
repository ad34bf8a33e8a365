import { OptionError, RankError } from "../core/errors.ts";
import { checkDType, checkSameShape, showShape, sizeOf } from "../core/shape.ts";
import { reshape, type Tensor } from "../core/tensor.ts";
import { add, mul } from "./binary.ts";
import { cast } from "./cast.ts";
import { type LayerNormOptions, layerNorm } from "./layer_norm.ts";
import { permute } from "./permute.ts";

/**
 * (x − mean) / √(variance + epsilon) · weight + bias over all places and the channels of a group, with the biased variance (arXiv
 * 1803.08494); channels come last. As many groups as channels is instance norm. NaN and infinities spoil their group.
 *
 * @param x - `[B, …places, channels]`, f32 or f16
 * @param groups - divides the channels
 * @param options - weight and bias of each channel, f32; epsilon, default 1e-6 as in `layerNorm` (PyTorch: 1e-5)
 * @throws RankError, ShapeError, DTypeError, OptionError
 */
export function groupNorm(x: Tensor, groups: number, options: LayerNormOptions = {}): Tensor {
  const { weight, bias, ...others } = options;
  const [batch = 1, ...rest] = x.shape;
  const channels = rest.at(-1);
  if (channels === undefined)
    throw new RankError(`groupNorm: x has shape ${showShape(x.shape)}, expected [B, …places, channels]`);
  if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0) {
    throw new OptionError(
      `groupNorm: groups is ${groups}, expected a positive integer that divides ${channels} channels`,
    );
  }
  for (const [name, operand] of Object.entries({ weight, bias })) {
    if (!operand) continue;
    checkDType("groupNorm", name, operand, ["f32"]);
    checkSameShape("groupNorm", name, operand.shape, [channels]);
  }
  const places = sizeOf(rest) / channels;
  const size = channels / groups;
  // The elements of a group as one row; with a single group or place they lie so already.
  const moves = groups > 1 && places > 1;
  const exchange = (from: Tensor, shape: readonly number[]): Tensor =>
    moves ? permute(reshape(from, shape), [0, 2, 1, 3]) : from;
  const apart = exchange(x, [batch, places, groups, size]);
  const standard = layerNorm(reshape(apart, [batch * groups, places * size]), others);
  const y = reshape(exchange(standard, [batch, groups, places, size]), x.shape);
  const scaled = weight ? mul(y, cast(weight, x.dtype)) : y;
  return bias ? add(scaled, cast(bias, x.dtype)) : scaled;
}
