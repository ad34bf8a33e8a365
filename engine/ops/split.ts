import { OptionError } from "../core/errors.ts";
import { resolveAxis, showShape } from "../core/shape.ts";
import { reshape, type Tensor } from "../core/tensor.ts";
import { concat } from "./concat.ts";
import { type Range, slice } from "./slice.ts";

/**
 * Cuts a tensor along an axis, the inverse of `concat`.
 *
 * @param parts - number of equal parts, or the length of each
 * @returns the parts in their order; as `slice`, without a copy where a view is possible
 * @throws AxisError, OptionError for parts that do not fill the axis
 */
export function split(x: Tensor, parts: number | readonly number[], axis = 0): Tensor[] {
  const at = resolveAxis("split", axis, x.shape.length);
  const length = x.shape[at] ?? 1;
  const lengths = typeof parts === "number" ? Array.from({ length: parts }, () => length / parts) : parts;
  const total = lengths.reduce((sum, part) => sum + part, 0);
  if (total !== length || !lengths.every((part) => Number.isInteger(part) && part > 0)) {
    throw new OptionError(
      `split: parts ${JSON.stringify(parts)} do not fill the ${length} elements of axis ${axis} of ${showShape(x.shape)}; give positive lengths with that sum, or a number that divides it`,
    );
  }
  let from = 0;
  return lengths.map((part) => {
    const range: Range = [from, from + part];
    from += part;
    return slice(
      x,
      x.shape.map((_, i) => (i === at ? range : undefined)),
    );
  });
}

/**
 * Joins tensors of one shape along a new axis.
 *
 * @param axis - place of the new axis in the result; negative ones count from its end
 * @throws OptionError for an empty list, ShapeError, DTypeError, AxisError
 */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  const [first] = tensors;
  if (!first) throw new OptionError("stack: the list is empty; give at least one tensor");
  const at = resolveAxis("stack", axis, first.shape.length + 1);
  return concat(
    tensors.map((x) => reshape(x, x.shape.toSpliced(at, 0, 1))),
    at,
  );
}
