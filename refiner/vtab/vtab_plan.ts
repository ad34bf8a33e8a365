import type { VisionTransformer } from "../../models/index.ts";
import { imagesInMemory, type RgbImage } from "../data/index.ts";
import { classifierAccuracy, FeatureExtractor } from "../evaluation/index.ts";
import { type FinetunePlan, planFinetuning } from "../methods/finetune/dry_run.ts";
import type { FinetuneConfig } from "../methods/finetune/finetune_config.ts";
import { FinetuneMethod } from "../methods/finetune/finetune_method.ts";
import { type VtabConfig, vtabFinetuning } from "./vtab_config.ts";
import { classesOfTask, finalRuns, searchRuns, sideOf, sizeOfRun, type VtabRunSize } from "./vtab_schedule.ts";
import type { VtabTask } from "./vtab_tasks.ts";

/** What is planned. */
export interface PlannedVtab {
  readonly encoder: VisionTransformer;
  readonly tasks: readonly VtabTask[];
  readonly config: VtabConfig;
  /** Side of the square images; default the encoder's. */
  readonly imagePixels?: number | undefined;
}

/** What VTAB-1k would take. */
export interface VtabPlan {
  readonly tasks: number;
  readonly runs: number;
  /** Of all runs. */
  readonly updates: number;
  /** Validation and test images of all runs. */
  readonly testedImages: number;
  /** Device memory in bytes, by kind, of the run with the most classes. */
  readonly memory: FinetunePlan["memory"] & {
    /** Beside all that, while images are tested. */
    readonly tests: number;
  };
  readonly flopsPerUpdate: number;
}

/** How long it takes on a device. */
export interface VtabTime {
  /** Seconds of an update, and of a tested image, as measured. */
  readonly updateSeconds: number;
  readonly imageSeconds: number;
  /** Of all runs, without the time that images take to be read. */
  readonly seconds: number;
}

/**
 * Plans VTAB-1k without allocating what it plans.
 *
 * @throws OverLimitError if a tensor is over the limits of the device, OptionError, DataFormatError
 */
export function planVtab(planned: PlannedVtab): VtabPlan {
  const { encoder, tasks, config } = planned;
  const { settings, classes, sidePixels } = largestRun(planned);
  const data = { images: config.batch, classes, rules: "vtab" } as const;
  const { memory, flopsPerUpdate } = planFinetuning(encoder.device, encoder.config, settings, data);
  const last = [encoder.config.blocks - 1];
  const extractor = new FeatureExtractor(encoder, { blocks: last, pooling: "cls", imagePixels: sidePixels });
  const { weights, total } = extractor.memory;
  const tests = total - weights;
  const runs = tasks.flatMap((task) => runsOf(task, config));
  return {
    tasks: tasks.length,
    runs: runs.length,
    updates: runs.reduce((sum, { updates }) => sum + updates, 0),
    testedImages: runs.reduce((sum, { testedImages }) => sum + testedImages, 0),
    memory: { ...memory, tests, total: memory.total + tests },
    flopsPerUpdate,
  };
}

/**
 * Makes an update and tests a few images, all black, after one of each to warm up: times depend on sizes alone.
 *
 * @param tune - called first with a function that records the programs: a place for `tuneProgram`
 */
export async function timeVtab(
  planned: PlannedVtab,
  tune?: (record: () => void) => Promise<unknown>,
): Promise<VtabTime> {
  const { encoder, config } = planned;
  const { settings, classes, sidePixels } = largestRun(planned);
  const channels = encoder.config.channels === 1 ? 1 : 3;
  const size = sidePixels * sidePixels * channels;
  const image: RgbImage = { width: sidePixels, height: sidePixels, channels, data: new Uint8Array(size) };
  const classNames = Array.from({ length: classes }, (_, label) => String(label));
  const task = { images: config.batch, imageBytes: size, classNames, rules: "vtab" } as const;
  await tune?.(() => new FinetuneMethod(encoder, settings, task).destroy());
  const method = new FinetuneMethod(encoder, settings, task);
  try {
    await method.initialize();
    const update = () => blackUpdate(method, image, config.batch);
    await update();
    const updateSeconds = await secondsOf(update);
    const { batch } = new FeatureExtractor(encoder, { blocks: [0], pooling: "cls", imagePixels: sidePixels });
    const test = (count: number) => classifierAccuracy(method.model, blackImages(image, count));
    await test(batch);
    const [few, many] = [await secondsOf(() => test(batch)), await secondsOf(() => test(3 * batch))];
    const imageSeconds = Math.max(0, many - few) / (2 * batch);
    const { updates, testedImages } = planVtab(planned);
    return { updateSeconds, imageSeconds, seconds: updates * updateSeconds + testedImages * imageSeconds };
  } finally {
    method.destroy();
  }
}

/** The runs of a task, whichever rate is chosen. */
function runsOf(task: VtabTask, config: VtabConfig): VtabRunSize[] {
  return [...searchRuns(task.name, config), ...finalRuns(task.name, config, config.learningRates[0] ?? 0)].map((run) =>
    sizeOfRun(task, config, run),
  );
}

function largestRun({ encoder, tasks, config, imagePixels }: PlannedVtab): {
  readonly settings: FinetuneConfig;
  readonly classes: number;
  readonly sidePixels: number;
} {
  const sidePixels = sideOf(encoder, imagePixels);
  return {
    settings: vtabFinetuning(config, { rate: 1e-3, seed: 0, pixels: sidePixels }),
    classes: Math.max(2, ...tasks.map(classesOfTask)),
    sidePixels,
  };
}

async function blackUpdate(method: FinetuneMethod, image: RgbImage, batch: number): Promise<void> {
  const images = Array.from({ length: batch }, () => image);
  const given = { number: 0, images, indices: new Uint32Array(batch), labels: new Int32Array(batch) };
  await (await method.run(given, { update: 0, total: 0, epoch: 0 })).result;
}

function blackImages(image: RgbImage, count: number) {
  return imagesInMemory(
    Array.from({ length: count }, () => image),
    { labels: new Int32Array(count) },
  );
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return (performance.now() - startMs) / 1000;
}
