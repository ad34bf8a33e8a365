import { OptionError } from "../../../engine/index.ts";
import { peakLearningRate, type Schedule } from "../../training/schedule.ts";
import type { TrainingStage } from "../../training/training_method.ts";
import type { RefineConfig } from "./refine_config.ts";

export type StageNumber = 2 | 3;

/** Updates that a stage makes. */
export interface StagePlan extends TrainingStage {
  readonly stage: StageNumber;
  readonly updatesPerEpoch: number;
  readonly updates: number;
  /** In stage 3. */
  readonly evaluateEvery?: number;
  readonly heads: Schedule;
  readonly encoder?: Schedule;
}

/** Schedules of a stage for a data set. @throws OptionError if the data set has less than one batch */
export function planStage(config: RefineConfig, stage: StageNumber, images: number): StagePlan {
  if (images < 2)
    throw new OptionError("refine: one image has no other to differ from; give at least 2, better thousands");
  const updatesPerEpoch = Math.floor(images / config.batch);
  if (updatesPerEpoch < 1) {
    throw new OptionError(
      `refine: ${images} images are less than one batch of ${config.batch}; use a batch of at most ${images}`,
    );
  }
  const [epochs, warmup, rate] =
    stage === 2
      ? [config.stage2Epochs, config.stage2Warmup, config.stage2LearningRate]
      : [config.stage3Epochs, config.stage3Warmup, config.stage3LearningRate];
  const updates = Math.round(epochs * updatesPerEpoch);
  const schedule: Schedule = {
    peak: peakLearningRate(rate, config.batch),
    warmupUpdates: Math.min(Math.round(warmup * updatesPerEpoch), updates),
    totalUpdates: updates,
    end: config.endLearningRate,
  };
  return {
    stage,
    updatesPerEpoch,
    updates,
    heads: schedule,
    ...(stage === 3 ? { encoder: schedule, evaluateEvery: config.evalEvery } : {}),
  };
}
