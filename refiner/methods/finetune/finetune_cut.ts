import { EngineError } from "../../../engine/index.ts";
import { GradientTree } from "../../training/gradient_tree.ts";
import type { ArenaOptimizer } from "../../training/optimizer.ts";
import type { TrainingStage } from "../../training/training_method.ts";
import { fixedPart } from "../fixed_parts.ts";
import { type FinetuneConfig, mixesPairs } from "./finetune_config.ts";
import type { StepSetup } from "./finetune_step.ts";

/**
 * How a batch is cut: into micro-batches, or into the fixed parts that gradients are summed over.
 *
 * @throws OptionError for sizes that do not go together
 */
export function finetuneCut(config: FinetuneConfig, optimizer: ArenaOptimizer): Pick<StepSetup, "part" | "fixed"> {
  const { batch, microBatch } = config;
  const inFlight = microBatch > 0 ? Math.min(microBatch, batch) : batch;
  const part = fixedPart("finetune", config, { multiple: mixesPairs(config) ? 2 : 1 });
  if (part === undefined) return { part: inFlight };
  const tree = new GradientTree([optimizer], batch / part);
  tree.recordAll();
  return { part, fixed: { tree, inFlight } };
}

/** Updates for a data set. @throws EngineError for one of less than a batch */
export function planFinetune(config: FinetuneConfig, images: number): TrainingStage {
  const updatesPerEpoch = Math.floor(images / config.batch);
  if (updatesPerEpoch < 1)
    throw new EngineError(
      `finetune: ${images} images are less than one batch of ${config.batch}; use a batch of at most ${images}`,
    );
  const updates = Math.round(config.epochs * updatesPerEpoch);
  if (updates < 1) throw new EngineError(`finetune: ${config.epochs} epochs are no update; raise epochs`);
  return { stage: 1, updates, updatesPerEpoch, evaluateEvery: config.testEvery };
}
