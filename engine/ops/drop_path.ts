import { OptionError } from "../core/errors.ts";
import { checkSameShape } from "../core/shape.ts";
import { reshape, type Tensor } from "../core/tensor.ts";
import { mul } from "./binary.ts";

/**
 * Stochastic depth (arXiv 1603.09382): keeps or drops a residual branch per sample; what is kept is scaled up to keep the mean.
 *
 * @param x - branch, `[batch, ...]`
 * @param rate - probability to drop, 0 ≤ rate < 1
 * @param mask - 1 for samples that keep the branch, else 0, `[batch]`, of the type of `x`
 * @throws OptionError, ShapeError, DTypeError
 */
export function dropPath(x: Tensor, rate: number, mask: Tensor): Tensor {
  if (!(rate >= 0 && rate < 1))
    throw new OptionError(`dropPath: rate ${rate} is outside 0 … 1 (1 excluded); 0 turns it off`);
  const [batch = 1, ...rest] = x.shape;
  checkSameShape("dropPath", "mask", mask.shape, [batch]);
  return mul(x, mul(reshape(mask, [batch, ...rest.map(() => 1)]), 1 / (1 - rate)));
}
