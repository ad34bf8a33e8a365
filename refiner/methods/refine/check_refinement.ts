import { OptionError } from "../../../engine/index.ts";
import type { VisionTransformer } from "../../../models/index.ts";
import type { ImageSource } from "../../data/index.ts";
import { checkRanks } from "../../exchange/exchange.ts";
import { fixedPart } from "../fixed_parts.ts";
import type { RefineConfig } from "./refine_config.ts";
import { viewConfigOf } from "./refine_views.ts";

/** Settings, images, encoder and number of ranks must go together. @throws OptionError */
export function checkRefinement(
  config: RefineConfig,
  images: ImageSource,
  encoder: VisionTransformer,
  ranks = 1,
): void {
  viewConfigOf(config, encoder.config);
  checkRanks("refine", config.batch, ranks);
  fixedPart("refine", config, { ranks });
  if (config.batch > config.queueLength) {
    throw new OptionError(
      `refine: batch ${config.batch} is larger than the queue of ${config.queueLength}; use a longer queue`,
    );
  }
  for (const [name, k] of Object.entries({ topK: config.topK, stage2TopK: config.stage2TopK })) {
    if (k > config.queueLength)
      throw new OptionError(
        `refine: ${name} ${k} is larger than the queue of ${config.queueLength}; use a longer queue`,
      );
  }
  if (config.microBatch > config.batch) {
    throw new OptionError(
      `refine: microBatch ${config.microBatch} is larger than the batch of ${config.batch}; use at most the batch`,
    );
  }
  checkOffload(config);
  checkRecomputed(config, encoder.config.blocks);
  if (config.oracle && images.label(0) === undefined) {
    throw new OptionError(
      "refine: oracle guidance needs labels, and the images have none; use class folders or a list with labels",
    );
  }
  if (images.channels !== encoder.config.channels) {
    throw new OptionError(
      `refine: the images have ${images.channels} channels, the model takes ${encoder.config.channels}; open the images with that number`,
    );
  }
}

/** What is offloaded must be decided, and possible. @throws OptionError */
export function checkOffload({ offload, precision, teacherFactor }: RefineConfig): void {
  if (offload.includes("auto"))
    throw new OptionError(
      "refine: offload auto is for the planner to decide, by the memory there is; call withPlannedOffload, or name what to offload",
    );
  if (!offload.includes("weights")) return;
  if (precision !== "f16")
    throw new OptionError(
      `refine: weights cannot be offloaded with precision ${precision}, whose products read them in f32; use precision f16, or offload moments and average only`,
    );
  if (teacherFactor > 0)
    throw new OptionError(
      `refine: weights cannot be offloaded with teacherFactor ${teacherFactor}, since the teacher follows them on the device; use 0, or offload moments and average only`,
    );
}

/** There must be as many blocks as are to be recomputed. @throws OptionError */
export function checkRecomputed({ recomputeBlocks }: RefineConfig, blocks: number): void {
  if (recomputeBlocks <= blocks) return;
  throw new OptionError(
    `refine: recomputeBlocks ${recomputeBlocks} is more than the encoder's ${blocks} blocks; use at most ${blocks}, or recompute for all`,
  );
}
