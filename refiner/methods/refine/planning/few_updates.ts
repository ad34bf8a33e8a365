import type { RefineConfig } from "../refine_config.ts";
import { planStage } from "../stage_plan.ts";

/** Fewer updates than this rarely suffice: the queues and the moving average need that many to settle. */
export const fewUpdates = 2000;

/** Settings with which a small data set gets enough updates. */
export interface FewUpdatesAdvice {
  readonly plannedUpdates: number;
  readonly images: number;
  readonly settings: Pick<RefineConfig, "batch" | "queueLength" | "ema" | "stage2Epochs" | "stage3Epochs">;
}

const smallestBatch = 16; // below, batch statistics of the heads are noise
/** Share of stage 3 that the moving average looks back over: that of the published recipe (10,000 of 37,500 updates). */
const averagedShare = 0.25;

/** What to change where fewer than 2,000 updates are planned; undefined where there are enough, or too few images for any batch. */
export function adviceForFewUpdates(config: RefineConfig, images: number): FewUpdatesAdvice | undefined {
  const plannedUpdates = updatesOf(config, images);
  if (plannedUpdates >= fewUpdates || images < 2) return undefined;
  const epochs = Math.max(1, config.stage2Epochs + config.stage3Epochs);
  const wanted = powerOfTwoUpTo((images * epochs) / fewUpdates);
  const batch = Math.min(config.batch, powerOfTwoUpTo(images), Math.max(smallestBatch, wanted));
  const perEpoch = Math.floor(images / batch);
  const factor = Math.max(1, fewUpdates / (epochs * perEpoch));
  const stage2Epochs = Math.ceil(config.stage2Epochs * factor);
  const stage3Epochs = Math.ceil(config.stage3Epochs * factor);
  const queueLength = Math.min(config.queueLength, Math.max(batch, config.topK, 64, powerOfTwoUpTo(images / 2)));
  const average = 1 - 1 / Math.max(10, averagedShare * stage3Epochs * perEpoch);
  const ema = Math.min(config.ema, Number(average.toFixed(4)));
  return { plannedUpdates, images, settings: { batch, queueLength, ema, stage2Epochs, stage3Epochs } };
}

function updatesOf(config: RefineConfig, images: number): number {
  if (images < config.batch) return 0;
  return planStage(config, 2, images).updates + planStage(config, 3, images).updates;
}

function powerOfTwoUpTo(value: number): number {
  return 2 ** Math.max(0, Math.floor(Math.log2(value)));
}
