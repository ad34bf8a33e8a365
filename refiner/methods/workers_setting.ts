import { z } from "zod";

/** Decoder threads: what `openImages` takes. */
export const workersSchema = z
  .union([z.int().min(0).max(256), z.literal("auto")])
  .default("auto")
  .describe("decoder threads; 0 decodes without any, auto takes one per core but one");
