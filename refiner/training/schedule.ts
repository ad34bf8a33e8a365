import { OptionError } from "../../engine/index.ts";

/** Linear warm-up followed by a cosine, in updates. */
export interface Schedule {
  readonly peak: number;
  readonly warmupUpdates: number;
  readonly totalUpdates: number;
  /** Approached at the end but never used; absolute, not scaled with the batch (method.md of the published code: 1e-6). */
  readonly end: number;
}

/** Learning rate for `batch` images per update: the base rate is given for 256 (linear scaling rule, arXiv 1706.02677). */
export function peakLearningRate(baseRate: number, batch: number): number {
  return (baseRate * batch) / 256;
}

/**
 * Learning rate of an update, by the number of completed updates: the warm-up starts above 0, the first cosine update has
 * exactly the peak (KappaSchedules, as the authors use it).
 *
 * @throws OptionError outside 0 … totalUpdates - 1
 */
export function learningRateAt(schedule: Schedule, update: number): number {
  const { peak, warmupUpdates, totalUpdates, end } = schedule;
  if (update < 0 || update >= totalUpdates)
    throw new OptionError(`schedule: update ${update} is outside 0 … ${totalUpdates - 1}`);
  if (update < warmupUpdates) return (peak * (update + 1)) / (warmupUpdates + 1);
  const passed = update - warmupUpdates;
  const length = totalUpdates - warmupUpdates;
  return end + ((peak - end) * (1 + Math.cos((Math.PI * passed) / length))) / 2;
}

/**
 * Factor on the learning rate of an update of VTAB-1K's fine-tuning (vtab1k-pytorch, whose schedule counts one update less than it
 * makes): 1 in the last update of the warm-up, 0 in the last update but one, and above 0 again in the last.
 *
 * @throws OptionError outside 0 … totalUpdates - 1
 */
export function vtabLearningRateFactor(update: number, totalUpdates: number): number {
  if (update < 0 || update >= totalUpdates)
    throw new OptionError(`schedule: update ${update} is outside 0 … ${totalUpdates - 1}`);
  const warmup = Math.floor(totalUpdates / 10);
  if (update < warmup) return (update + 1) / warmup;
  const length = Math.max(1, totalUpdates - warmup - 1);
  return (1 + Math.cos((Math.PI * (update - warmup + 1)) / length)) / 2;
}

/**
 * Factor on the learning rate of a parameter at a depth: 0 for the embedding, j + 1 for block j, blocks + 1 for the last norm
 * (BEiT, arXiv 2106.08254).
 */
export function layerDecayFactor(decay: number, depth: number, blocks: number): number {
  return decay ** (blocks + 1 - depth);
}

/** Biases, parameters of one dimension and tokens are not decayed (method of the published models). */
export function isDecayed(name: string, shape: readonly number[]): boolean {
  return shape.length > 1 && !/(^|\.)(cls_tokens\.tokens|cls_token|mask_token)$/.test(name) && !name.endsWith(".bias");
}
