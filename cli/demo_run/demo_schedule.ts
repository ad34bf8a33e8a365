import type { VisionTransformer } from "../../models/index.ts";
import type { ImageSource } from "../../refiner/data/index.ts";
import { MemoryRunStore, type RefineConfig, refine, refineConfig } from "../../refiner/index.ts";
import { firstOf } from "../runs/report_pictures.ts";

/** `brief` is for adapters so slow that even the short schedule would take too long. */
export type ScheduleName = "full" | "short" | "brief";

/** What a demo run does. */
export interface DemoSchedule {
  readonly name: ScheduleName;
  readonly config: RefineConfig;
  /** Training images used, counted from the first; they are also the bank of the k-NN evaluation. */
  readonly trainImages: number;
  /** Held-out images classified. */
  readonly testImages: number;
}

/** Digits must not be mirrored; of few images, many small updates make more (experiments/README.md). The rest is `small`. */
const recipe = {
  heads: [2, 3, 4, "last"],
  flip: 0,
  resizeTo: 28,
  globalPixels: 20,
  batch: 64,
  stage2LearningRate: 4e-3,
  stage3LearningRate: 8e-3,
  temperature: 0.15,
  stage2Epochs: 1,
};

/** Fewer images and epochs; the average follows within a quarter of stage 3. */
const shortened = { ...recipe, queueLength: 2048, stage2Warmup: 0.25, stage3Warmup: 0.25, ema: 0.95 };

export function demoSchedule(name: ScheduleName, seed: number): DemoSchedule {
  switch (name) {
    case "full":
      return schedule(name, { ...recipe, stage3Epochs: 12, seed }, [8000, 2000]);
    case "short":
      return schedule(name, { ...shortened, stage3Epochs: 2, seed }, [3072, 600]);
    case "brief":
      return schedule(name, { ...shortened, queueLength: 512, stage3Epochs: 1, seed }, [768, 200]);
  }
}

function schedule(name: ScheduleName, settings: Record<string, unknown>, images: [number, number]): DemoSchedule {
  const [trainImages, testImages] = images;
  return { name, config: refineConfig(settings, "small"), trainImages, testImages };
}

/** Longest time that the full schedule may take to be chosen without being asked for. */
const patienceSeconds = 180;
/** Longest time that the short one may take. */
const shortPatienceSeconds = 480;

/** Measured shares of an update of stage 3: one of stage 2, and encoding as many whole images as a batch has views. */
const stage2Share = 0.45;
const encodingShare = 0.55;

/** Seconds that a schedule takes where an update of stage 3 takes `updateSeconds`. */
export function estimatedSeconds({ config, trainImages, testImages }: DemoSchedule, updateSeconds: number): number {
  const perEpoch = Math.floor(trainImages / config.batch);
  const updates = perEpoch * (stage2Share * config.stage2Epochs + config.stage3Epochs);
  const evaluations = (3 * encodingShare * (trainImages + testImages)) / (2 * config.batch);
  return (updates + evaluations) * updateSeconds;
}

/** The full schedule where it takes at most three minutes, else the short one, else one for the slowest adapters. */
export function chosenSchedule(updateSeconds: number, seed: number): DemoSchedule {
  const [full, short] = [demoSchedule("full", seed), demoSchedule("short", seed)];
  if (estimatedSeconds(full, updateSeconds) <= patienceSeconds) return full;
  return estimatedSeconds(short, updateSeconds) <= shortPatienceSeconds ? short : demoSchedule("brief", seed);
}

/** Time after which, and number of updates after which, measuring ends; the first update is never counted. */
const measuredSeconds = 4;
const measuredUpdates = 12;

/**
 * Seconds per update of stage 3, the median of a few; the first, which compiles and tunes the kernels, is left out.
 *
 * @param encoder - trained meanwhile, so give a copy
 */
export async function measureUpdate(encoder: VisionTransformer, images: ImageSource): Promise<number> {
  const full = demoSchedule("full", 0).config;
  const stop = new AbortController();
  const run = refine({
    encoder,
    images: firstOf(images, full.batch * (measuredUpdates + 1)),
    config: { ...full, stage2Epochs: 0, stage3Epochs: 1 },
    store: new MemoryRunStore(),
    signal: stop.signal,
  });
  const seconds: number[] = [];
  for await (const event of run) {
    if (event.kind !== "update" || event.update === 1) continue;
    seconds.push(full.batch / event.imagesPerSecond);
    if (seconds.reduce((sum, one) => sum + one, 0) >= measuredSeconds) stop.abort();
  }
  return seconds.sort((a, b) => a - b)[Math.floor((seconds.length - 1) / 2)] ?? Number.POSITIVE_INFINITY;
}
