import { OverLimitError } from "../../../../engine/index.ts";
import type { RefineConfig } from "../refine_config.ts";

/**
 * Records the updates of a stage for the micro-batch of the settings. Where those leave the whole batch together and one of its
 * tensors is over the limits of the device, the batch is halved until none is: the result is the same up to the order of sums.
 *
 * @param record - for so many images at once
 * @returns what was recorded, and for how many images
 * @throws OverLimitError where a micro-batch that the settings ask for is over the limits, with the largest of its halves that is
 *   not; and where not even one image at once is within them
 */
export function partWithinLimits<T>(
  { batch, microBatch }: Pick<RefineConfig, "batch" | "microBatch">,
  record: (part: number) => T,
): { readonly part: number; readonly recorded: T } {
  const first = microBatch > 0 ? Math.min(microBatch, batch) : batch;
  let refusal: OverLimitError | undefined;
  for (let part = first; ; part = Math.ceil(part / 2)) {
    try {
      const recorded = record(part);
      if (!refusal || microBatch === 0) return { part, recorded };
    } catch (error) {
      if (!(error instanceof OverLimitError) || part === 1) throw error;
      refusal ??= error;
      continue;
    }
    throw new OverLimitError(
      `refine: micro-batches of ${first} are over the limits of the device, those of ${part} are within them; ${refusal.message}`,
    );
  }
}
