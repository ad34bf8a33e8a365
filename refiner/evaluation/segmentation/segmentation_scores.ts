import { z } from "zod";

const shares = z.array(z.number());

/** Mean intersection over union of all heads after an epoch: a line of metrics.jsonl. */
export const segmentationScoresSchema = z.object({
  kind: z.literal("segmentation"),
  stage: z.literal(1),
  /** Completed epochs. */
  epoch: z.int().min(1),
  /** On the held-out images, per head of the grid; where images are held out. */
  heldOut: shares.optional(),
  /** On the test images, per head of the grid. */
  test: shares,
});
export type SegmentationScores = z.output<typeof segmentationScoresSchema>;

/** A head after some epoch. */
export interface SegmentationChoice {
  /** Place in the grid. */
  readonly head: number;
  readonly epoch: number;
}

/** The best head of some epochs; of equals the earliest epoch, and of these the first head. */
export function bestSegmentation(
  scores: readonly SegmentationScores[],
  on: "held-out" | "test",
): SegmentationChoice | undefined {
  let best: (SegmentationChoice & { readonly value: number }) | undefined;
  for (const { epoch, heldOut, test } of scores)
    for (const [head, value] of ((on === "test" ? test : heldOut) ?? []).entries())
      if (!best || value > best.value) best = { head, epoch, value };
  return best && { head: best.head, epoch: best.epoch };
}
