import { z } from "zod";

/** Settings of trainings whose bytes do not depend on the machine, and which others can check. */
export const reproducibleSettings = {
  reproducible: z
    .boolean()
    .describe(
      "sum gradients in a fixed order, and write hashes of every update to hashes.jsonl, which verify checks; one hash on every adapter takes a device that is reproducible, too",
    )
    .default(false),
  gradientPart: z
    .int()
    .min(0)
    .describe(
      "with reproducible, images whose gradients are one summand of a fixed tree; 0: a quarter of the batch, or the largest part below that divides it. Another part gives other bytes",
    )
    .default(0),
  recheck: z
    .number()
    .min(0)
    .max(100)
    .describe("with reproducible, percent of the updates that are computed twice: a machine that flips bits is told")
    .default(0),
};
