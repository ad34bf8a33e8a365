import { OptionError, RankError } from "../core/errors.ts";
import { showShape } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { fillState } from "./fill.ts";
import { pasteInto, type Range, slice } from "./slice.ts";

/**
 * Puts one value around a tensor.
 *
 * @param widths - per axis, from the first: elements before and behind; missing: none
 * @param value - default 0
 * @throws RankError for more widths than axes, OptionError for widths that are no whole numbers from 0, or a value that does not fit the type
 */
export function pad(x: Tensor, widths: readonly (readonly [before: number, behind: number])[], value = 0): Tensor {
  if (widths.length > x.shape.length) {
    throw new RankError(`pad: ${widths.length} pairs for the axes of ${showShape(x.shape)}; give at most one each`);
  }
  for (const width of widths.flat()) {
    if (!Number.isInteger(width) || width < 0) {
      throw new OptionError(
        `pad: a width is ${width}, expected a whole number from 0; use slice to take elements away`,
      );
    }
  }
  const box = x.shape.map((length, axis): Range => {
    const [before] = widths[axis] ?? [0, 0];
    return [before, before + length];
  });
  const program = programOf("pad", x);
  const y = program.empty(
    box.map(([, to], axis) => to + (widths[axis]?.[1] ?? 0)),
    x.dtype,
  );
  fillState(program, y, value);
  pasteInto("pad", x, y, box);
  return program.record(y, [x], (dy) => [slice(dy, box)]);
}
