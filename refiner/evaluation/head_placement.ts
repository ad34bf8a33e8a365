import { EvaluationError } from "./core/errors.ts";

/**
 * Blocks to attach heads to: the one with the best k-NN accuracy and all behind it, as MIM-Refiner does (arXiv 2402.10093,
 * section 4: representations are best in the middle of an MAE and fall off as later blocks turn into a decoder).
 *
 * @param accuracy - k-NN accuracy per block, first to last
 * @returns blocks, 0-based, ending with the last one; of equal accuracies the earlier block counts as the peak
 * @throws EvaluationError without blocks, or for an accuracy that is no number
 */
export function recommendedBlocks(accuracy: readonly number[]): number[] {
  if (accuracy.length === 0) throw new EvaluationError("layers: no accuracies; evaluate at least one block");
  const unknown = accuracy.findIndex((value) => Number.isNaN(value));
  if (unknown >= 0)
    throw new EvaluationError(`layers: the accuracy of block ${unknown} is NaN; evaluate on images that have labels`);
  const peak = accuracy.indexOf(Math.max(...accuracy));
  return Array.from({ length: accuracy.length - peak }, (_, i) => peak + i);
}
