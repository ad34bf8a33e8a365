import { OverLimitError } from "../../../../engine/index.ts";

/** Images that may be encoded at once. */
export interface PartSizes {
  /** To try first: as the settings have it. */
  readonly first: number;
  /** Whether the settings name a micro-batch, which then is no other. */
  readonly isSet: boolean;
  /** Where gradients are summed over fixed parts: the only smaller size. */
  readonly fixed?: number | undefined;
}

/**
 * Records the updates of a stage for the micro-batch of the settings. Where those leave the whole batch together and one of its
 * tensors is over the limits of the device, the batch is halved until none is (the result is the same up to the order of sums), or cut
 * into the parts that gradients are summed over (the result is the same).
 *
 * @param record - for so many images at once
 * @returns what was recorded, for how many images, and whether the limits asked for fewer than the settings
 * @throws OverLimitError where a micro-batch that the settings ask for is over the limits, with a smaller one that is
 *   not; and where not even one image at once is within them, or no part
 */
export function partWithinLimits<T>(
  { first, isSet, fixed }: PartSizes,
  record: (part: number) => T,
): { readonly part: number; readonly isReduced: boolean; readonly recorded: T } {
  let refusal: OverLimitError | undefined;
  for (let part = first; ; part = fixed ?? Math.ceil(part / 2)) {
    try {
      const recorded = record(part);
      if (!refusal || !isSet) return { part, isReduced: refusal !== undefined, recorded };
    } catch (error) {
      if (!(error instanceof OverLimitError) || part === (fixed ?? 1)) throw error;
      refusal ??= error;
      continue;
    }
    throw new OverLimitError(
      `refine: micro-batches of ${first} are over the limits of the device, those of ${part} are within them; ${refusal.message}`,
    );
  }
}
