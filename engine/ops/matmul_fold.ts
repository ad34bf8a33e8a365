import type { Command, Dispatch, Program } from "../core/recording.ts";
import type { Tensor } from "../core/tensor.ts";
import { isProductKernel } from "./products/product_kernels.ts";

/**
 * A product times `other` + 1/2, element by element: records the launch that made `y` again, with one more epilogue. The first launch
 * stays, and the planner drops it if nothing else reads its result.
 *
 * @param other - in the shape and type of `y`
 * @returns undefined if `y` is not the plain result of a product
 */
export function foldGeluSlope(program: Program, y: Tensor, other: Tensor): Tensor | undefined {
  const made = program.commands.findLast((command): command is Dispatch => isPlainProduct(command, y));
  if (!made || other.dtype !== y.dtype) return undefined;
  const { kernel, params, operands, workgroups, options } = made;
  const folded = program.empty(y.shape, y.dtype);
  const constants = { ...options.constants, activation: 2 };
  // Memory of its own for the unused binding: written by both, it would keep the first launch alive.
  const extra = program.empty([1]);
  program.dispatch(kernel, params, { ...operands, other, extra, y: folded }, workgroups, { ...options, constants });
  return folded;
}

function isPlainProduct(command: Command, y: Tensor): command is Dispatch {
  if (command.type !== "dispatch" || !isProductKernel(command.kernel)) return false;
  const { operands, options } = command;
  if (operands.y?.storage !== y.storage || operands.y.size !== y.size) return false;
  // A launch with a second result is left alone: it would have to run twice.
  const { activation, addOther, keepSlope, keepRowSums = 0 } = options.constants ?? {};
  return activation === 0 && addOther === 0 && keepSlope === 0 && keepRowSums === 0;
}
