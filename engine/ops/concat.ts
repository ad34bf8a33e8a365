import { OptionError } from "../core/errors.ts";
import { checkDType, checkSameShape, resolveAxis } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { pasteInto, type Range, slice } from "./slice.ts";

/**
 * Joins tensors along one axis.
 *
 * @param tensors - equal in type and in all lengths but that of `axis`
 * @throws OptionError for an empty list, ShapeError, DTypeError, AxisError
 */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  const [first] = tensors;
  if (!first) throw new OptionError("concat: the list is empty; give at least one tensor");
  const joined = resolveAxis("concat", axis, first.shape.length);
  const at = (x: Tensor) => x.shape[joined] ?? 1;
  const withLength = (length: number) => first.shape.map((other, i) => (i === joined ? length : other));
  tensors.forEach((x, i) => {
    checkDType("concat", `tensor ${i}`, x, [first.dtype]);
    checkSameShape("concat", `tensor ${i}`, x.shape, withLength(at(x)));
  });
  const program = programOf("concat", ...tensors);
  const y = program.empty(withLength(tensors.reduce((sum, x) => sum + at(x), 0)), first.dtype);
  const boxes: Range[][] = [];
  let from = 0;
  for (const x of tensors) {
    const to = from + at(x);
    boxes.push(y.shape.map((length, i): Range => (i === joined ? [from, to] : [0, length])));
    from = to;
  }
  for (const [i, x] of tensors.entries()) pasteInto("concat", x, y, boxes[i] ?? []);
  // Each input is a box of y, so its gradient is that box of dy.
  return program.record(y, tensors, (dy, needs) => boxes.map((box, i) => (needs[i] ? slice(dy, box) : undefined)));
}
