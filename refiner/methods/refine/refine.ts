import { z } from "zod";
import { type Arena, type Device, EngineError, OptionError } from "../../../engine/index.ts";
import { saveEncoder, VisionTransformer } from "../../../models/index.ts";
import { refuseSmallImages } from "../../data/batches/small_images.ts";
import { BrokenImages, batchesOfEpochs, type ImageSource } from "../../data/index.ts";
import { asImageSource, type ImageInput } from "../../data/sources/image_input.ts";
import { bytesPerImage, largestArea } from "../../data/views/view_inputs.ts";
import {
  type CheckpointMetadata,
  hasCheckpoint,
  newestCheckpoint,
  type RunState,
  restoreState,
  saveCheckpoint,
} from "../../training/run_checkpoint.ts";
import type { RunStore } from "../../training/run_store.ts";
import { StepClock } from "../../training/step_clock.ts";
import { adviceForFewUpdates, type FewUpdatesAdvice } from "./few_updates.ts";
import { HealthMonitor } from "./health.ts";
import type { RefineConfig } from "./refine_config.ts";
import { viewsOf } from "./refine_views.ts";
import { RefinerModel } from "./refiner_model.ts";
import { planStage, Stage, type StageNumber, type StagePlan, type UpdateResult } from "./stage.ts";

/** Which weights an evaluation looks at. */
export type EvaluatedWeights = "encoder" | "ema";

export interface RefineOptions {
  /** The pre-trained encoder; stage 3 trains it in place. */
  readonly encoder: VisionTransformer;
  readonly images: ImageInput;
  readonly config: RefineConfig;
  /** Where checkpoints, metrics and results go. */
  readonly store: RunStore;
  /** Go on from the newest checkpoint of the store, or from the beginning if none was written yet. */
  readonly resume?: boolean;
  /** Memory of the host process in bytes, for the metrics. */
  readonly hostBytes?: () => number;
  /** Finishes the current update, saves, and ends the run. */
  readonly signal?: AbortSignal;
  /**
   * Called first in a run that is not resumed, with a function that records the programs of all stages without running them:
   * a place for `tuneProgram`, so that the kernel variants are chosen before anything is computed.
   */
  readonly tune?: (record: () => void) => Promise<unknown>;
  /** k-NN accuracy per block, first to last; called before, after stage 2, every `evalEvery` epochs, and after stage 3. */
  readonly evaluate?: (encoder: VisionTransformer) => Promise<readonly number[]>;
}

/** What a run tells while it goes on; update and k-NN events are also the lines of `metrics.jsonl`. */
export type RefineEvent =
  /** The first one, before anything is written: the options are right. */
  | {
      readonly kind: "start";
      readonly updates: number;
      readonly images: number;
      readonly fewUpdates?: FewUpdatesAdvice;
    }
  | ({
      readonly kind: "update";
      readonly stage: StageNumber;
      readonly update: number;
      readonly of: number;
      readonly epoch: number;
      readonly imagesPerSecond: number;
      readonly waitShare: number;
      /** Held on the device after this update. */
      readonly deviceBytes: number;
      readonly hostBytes?: number;
    } & UpdateResult)
  | {
      readonly kind: "knn";
      readonly stage: 1 | StageNumber;
      readonly epoch: number;
      readonly weights: EvaluatedWeights;
      readonly k: number;
      readonly accuracy: readonly number[];
    }
  | { readonly kind: "checkpoint"; readonly file: string }
  /** An image that cannot be read, once each; others take its place. */
  | { readonly kind: "broken"; readonly image: string; readonly text: string }
  | { readonly kind: "notice"; readonly text: string };

export interface RefineResult {
  readonly finished: boolean;
  /** Completed updates of both stages. */
  readonly updates: number;
  /** Updates of the encoder that f16 overflow skipped; with precision f16. */
  readonly skippedUpdates?: number;
  /** k-NN accuracy per block, where it was evaluated. */
  readonly knn: {
    readonly before?: readonly number[];
    readonly afterStage2?: readonly number[];
    readonly after?: readonly number[];
  };
  /** The moving average of the encoder: what users take away. */
  readonly ema: VisionTransformer;
}

/** Where a run stands. */
interface Position {
  readonly stage: StageNumber;
  /** Completed updates of the stage. */
  readonly update: number;
}

/**
 * Refines an encoder: stage 2 trains the heads, stage 3 heads and encoder (arXiv 2402.10093). The same configuration, data and
 * device give the same bytes, interrupted or not.
 *
 * @throws OptionError, DataError, CheckpointError, CollapseError; MissingFeatureError for f16 on a device without it
 */
export async function* refine(options: RefineOptions): AsyncGenerator<RefineEvent, RefineResult> {
  const run = await Run.start(options);
  try {
    yield* run.stages();
    return run.result();
  } finally {
    run.close();
  }
}

class Run {
  readonly #device: Device;
  readonly #model: RefinerModel;
  readonly #average: Arena;
  readonly #ema: VisionTransformer;
  readonly #plans: readonly StagePlan[];
  readonly #health: HealthMonitor;
  readonly #broken: BrokenImages;
  readonly #brokenEvents: RefineEvent[] = [];
  /** Epochs whose evaluation stands in the metrics already. */
  readonly #evaluated = new Set<number>();
  readonly #knn: { before?: readonly number[]; afterStage2?: readonly number[]; after?: readonly number[] } = {};
  #stage: Stage | undefined;
  #finished = false;
  /** Whether the caller has the moving average. */
  #isHandedOut = false;
  #updates = 0;
  /** Updates of the encoder that f16 overflow has skipped. */
  #skipped = 0;
  #lastSave = performance.now();

  private constructor(
    readonly options: RefineOptions,
    readonly images: ImageSource,
    readonly imageBytes: number,
  ) {
    const { encoder, config } = options;
    this.#device = encoder.device;
    if (config.precision === "f16") this.#device.requireFeature("refine: precision f16", "shader-f16");
    checkConfig(config, images, encoder);
    this.#model = new RefinerModel(encoder, {
      placements: config.heads,
      pooling: config.pooling,
      head: {
        inputWidth: encoder.config.width,
        projectorWidth: config.projectorWidth,
        predictorWidth: config.predictorWidth,
        outputWidth: config.outputWidth,
        queueLength: config.queueLength,
      },
    });
    this.#health = new HealthMonitor(config.batch, config.precision);
    this.#average = encoder.parameters.like("ema");
    this.#ema = new VisionTransformer(this.#device, encoder.config, this.#average, encoder.positions);
    this.#plans = ([2, 3] as const)
      .map((stage) => planStage(config, stage, images.length))
      .filter((plan) => plan.updates > 0);
    this.#broken = new BrokenImages(images.length, {
      maxBad: config.maxBad,
      onBroken: (error, index) =>
        this.#brokenEvents.push({ kind: "broken", image: images.name(index), text: error.message }),
    });
  }

  static async start(options: RefineOptions): Promise<Run> {
    const { config, encoder } = options;
    const images = await asImageSource(options.images);
    const resizeTo = resizeBound(config, encoder);
    const viewPixels = config.globalPixels || encoder.config.heightPixels;
    if (!config.enlarge) await refuseSmallImages("refine", images, { viewPixels, resizeTo });
    return new Run(options, images, bytesPerImage(images, resizeTo));
  }

  async *stages(): AsyncGenerator<RefineEvent, void> {
    const { encoder, resume = false, signal, store, tune } = this.options;
    if (tune && !resume) await tune(() => this.#recordStages());
    yield this.#startEvent();
    this.#model.initializeHeads(this.options.config.seed);
    for (const [name, tensor] of encoder.parameters.tensors)
      this.#device.write(this.#average.get(name), await tensor.read());
    const isBegun = resume && (await hasCheckpoint(store));
    if (resume && !isBegun) {
      yield { kind: "notice", text: `${store.name}: no checkpoint was written yet; starting at the beginning` };
      await store.writeText("metrics.jsonl", "");
    }
    const position = isBegun ? await this.#positionOfNewest() : undefined;
    if (!position) yield* this.#evaluate(1, 0, "encoder", "before");
    if (signal?.aborted) return;
    for (const plan of this.#plans) {
      const done = this.#plans
        .filter((other) => other.stage < plan.stage)
        .reduce((sum, other) => sum + other.updates, 0);
      if (position && position.stage > plan.stage) {
        this.#updates = done + plan.updates;
        continue;
      }
      this.#stage?.destroy();
      this.#stage = new Stage(this.#model, this.options.config, plan, this.imageBytes, this.#average);
      const start = position?.stage === plan.stage ? position.update : 0;
      this.#stage.reset(start);
      if (start > 0) yield* this.#restore();
      else await this.#stage.teacher?.reset();
      this.#updates = done + start;
      yield* this.#train(this.#stage, start, done);
      if (signal?.aborted) return;
      if (this.#stage.encoder?.lossScaling) {
        const text = `f16 overflow skipped ${this.#skipped} of ${plan.updates} updates of the encoder`;
        yield { kind: "notice", text };
      }
      if (plan.stage === 2) yield* this.#evaluate(2, this.#epochs(plan), "encoder", "afterStage2");
      if (signal?.aborted) return;
    }
    await store.write("encoder.safetensors", (sink) =>
      saveEncoder(sink, this.#ema, {
        source: "moving average of the encoder",
        method: "MIM-Refiner (arXiv 2402.10093)",
      }),
    );
    const last = this.#plans.at(-1);
    if (last) yield* this.#evaluate(last.stage, this.#epochs(last), "ema", "after");
    this.#finished = !signal?.aborted;
    if (this.#broken.count > 0)
      yield { kind: "notice", text: `${this.#broken.count} of ${this.images.length} images were broken and left out` };
  }

  #recordStages(): void {
    for (const plan of this.#plans)
      new Stage(this.#model, this.options.config, plan, this.imageBytes, this.#average).destroy();
  }

  #startEvent(): RefineEvent {
    const fewUpdates = adviceForFewUpdates(this.options.config, this.images.length);
    return {
      kind: "start",
      updates: this.#plans.reduce((sum, { updates }) => sum + updates, 0),
      images: this.images.length,
      ...(fewUpdates ? { fewUpdates } : {}),
    };
  }

  #epochsBefore(plan: StagePlan): number {
    return this.#epochs(plan) - Math.ceil(plan.updates / plan.updatesPerEpoch);
  }

  /** Whole epochs of a stage, counted from the start of the run. */
  #epochs(plan: StagePlan): number {
    return this.#plans
      .filter((other) => other.stage <= plan.stage)
      .reduce((sum, other) => sum + Math.ceil(other.updates / other.updatesPerEpoch), 0);
  }

  async *#train(stage: Stage, start: number, done: number): AsyncGenerator<RefineEvent, void> {
    const { config, signal } = this.options;
    const { images } = this;
    const { plan } = stage;
    const resizeTo = resizeBound(config, this.options.encoder);
    const before = this.#epochsBefore(plan);
    let update = start;
    const clock = new StepClock(config.batch);
    const epochsToEvaluate = (): number | undefined => {
      const epochs = update / plan.updatesPerEpoch;
      const isDue = plan.stage === 3 && update > 0 && update < plan.updates && config.evalEvery > 0;
      return isDue && epochs % config.evalEvery === 0 ? before + epochs : undefined;
    };
    const missed = epochsToEvaluate();
    if (missed !== undefined && !this.#evaluated.has(missed)) yield* this.#evaluate(3, missed, "ema");
    let pending: { readonly at: number; readonly epoch: number; readonly result: Promise<UpdateResult> } | undefined;
    if (update === plan.updates || signal?.aborted) return;
    const beginning = before * plan.updatesPerEpoch;
    const feed = batchesOfEpochs(images, {
      batchSize: config.batch,
      seed: config.seed,
      first: beginning + update,
      end: beginning + plan.updates,
      prefetch: config.prefetch,
      resizeTo,
      maxPixels: largestArea(resizeTo),
      broken: this.#broken,
    });
    for await (const batch of clock.waiting(feed)) {
      const epoch = before + Math.floor(update / plan.updatesPerEpoch);
      yield* this.#brokenEvents.splice(0);
      const { result } = await stage.run(batch, update, done + update, epoch);
      result.catch(() => undefined); // reported when it is awaited below
      if (pending) yield* this.#report(plan, pending, clock);
      pending = { at: update, epoch, result };
      update++;
      this.#updates = done + update;
      const isEpochEnd = update % plan.updatesPerEpoch === 0;
      if (isEpochEnd || update === plan.updates || signal?.aborted || this.#saveIsDue()) {
        yield* this.#report(plan, pending, clock);
        pending = undefined;
        const epochs = update / plan.updatesPerEpoch;
        const isDue = isEpochEnd && epochs % config.checkpointEvery < 1;
        if (isDue || update === plan.updates || signal?.aborted || this.#saveIsDue())
          yield await this.#save(plan, update);
        const due = epochsToEvaluate();
        if (due !== undefined && !signal?.aborted) yield* this.#evaluate(3, due, "ema");
        clock.restart();
      }
      if (signal?.aborted) break;
    }
  }

  async *#report(
    plan: StagePlan,
    pending: { at: number; epoch: number; result: Promise<UpdateResult> },
    clock: StepClock,
  ): AsyncGenerator<RefineEvent, void> {
    const result = await pending.result;
    const event: RefineEvent = {
      kind: "update",
      stage: plan.stage,
      update: pending.at + 1,
      of: plan.updates,
      epoch: pending.epoch,
      ...clock.lap(),
      deviceBytes: this.#device.counters.heldBytes,
      ...(this.options.hostBytes ? { hostBytes: this.options.hostBytes() } : {}),
      ...result,
    };
    await this.options.store.appendLine("metrics.jsonl", JSON.stringify(event));
    this.#health.check(pending.at + 1, result);
    yield event;
    if (!result.lossScale || result.lossScale.skipped === this.#skipped) return;
    this.#skipped = result.lossScale.skipped;
    const { scale } = result.lossScale;
    const text = `update ${event.update}: f16 overflow, the encoder's update was skipped (${this.#skipped} so far), the loss scale is now ${scale}`;
    yield { kind: "notice", text };
  }

  #saveIsDue(): boolean {
    return performance.now() - this.#lastSave > this.options.config.checkpointMinutes * 60_000;
  }

  async #save(plan: StagePlan, update: number): Promise<RefineEvent> {
    const metadata: CheckpointMetadata = {
      stage: String(plan.stage),
      update: String(update),
      updates: String(this.#updates),
    };
    await saveCheckpoint(this.options.store, this.#updates, this.#state(), metadata);
    this.#lastSave = performance.now();
    return { kind: "checkpoint", file: `checkpoints/${String(this.#updates).padStart(9, "0")}.safetensors` };
  }

  #state(): RunState {
    const { encoder } = this.options;
    const model = this.#model;
    const stage = this.#stage;
    return {
      arenas: {
        "encoder.": encoder.parameters,
        "ema.": this.#average,
        "heads.": model.headParameters,
        "statistics.": model.headStatistics,
        "counters.": model.headCounters,
        ...stage?.arenas,
      },
      tensors: {
        ...Object.fromEntries(
          model.heads.flatMap(({ queue }, i) =>
            Object.entries(queue.state).map(([name, tensor]) => [`${model.names[i]}.${name}`, tensor]),
          ),
        ),
        ...stage?.tensors,
      },
    };
  }

  /** Where the newest checkpoint stands; stage ends count as the beginning of the next stage. */
  async #positionOfNewest(): Promise<Position> {
    const { checkpoint } = await newestCheckpoint(this.options.store);
    const stage: StageNumber = checkpoint.metadata.get("stage") === "3" ? 3 : 2;
    const update = Number(checkpoint.metadata.get("update"));
    await checkpoint.close();
    if (!Number.isInteger(update))
      throw new EngineError("refine: the newest checkpoint holds no update number; it was written by another program");
    return { stage, update };
  }

  async *#restore(): AsyncGenerator<RefineEvent, void> {
    const { checkpoint, file, damaged } = await newestCheckpoint(this.options.store);
    for (const text of damaged) yield { kind: "notice", text: `${text}; going back to ${file}` };
    const { arenas, tensors } = this.#state();
    const isNew = (name: string): boolean => name in (this.#stage?.tensors ?? {}) && !checkpoint.tensors.has(name);
    const stored = Object.fromEntries(Object.entries(tensors).filter(([name]) => !isNew(name)));
    await restoreState(checkpoint, { arenas, tensors: stored });
    await checkpoint.close();
    if (Object.keys(tensors).some(isNew))
      yield { kind: "notice", text: `${file} was written in f32 and holds no loss scale: it starts anew` };
    this.#skipped = (await this.#stage?.encoder?.lossScaling?.read())?.skipped ?? 0;
    await this.#readMetrics(Number(checkpoint.metadata.get("stage")), Number(checkpoint.metadata.get("update")));
    yield { kind: "notice", text: `resumed from ${file}` };
  }

  /** Takes over earlier evaluations and drops the lines of updates that will be made again. */
  async #readMetrics(stage: number, update: number): Promise<void> {
    const text = await this.options.store.readText("metrics.jsonl");
    if (text === undefined) return;
    const plan = this.#plans.find((one) => one.stage === stage);
    // The evaluation at the end of a stage is made again.
    const lastEpoch = plan
      ? Math.min(this.#epochsBefore(plan) + Math.floor(update / plan.updatesPerEpoch), this.#epochs(plan) - 1)
      : 0;
    const lines = text.split("\n").filter((line) => {
      const event = parseLine(line);
      if (!event || event.stage > stage) return false;
      if (event.kind === "knn" && event.accuracy) {
        if (event.stage === 1) this.#knn.before = event.accuracy;
        if (event.stage === 2 && stage > 2) this.#knn.afterStage2 = event.accuracy;
      }
      if (event.stage < stage || (event.kind === "update" && event.update <= update)) return true;
      const isKept = event.kind === "knn" && stage === 3 && event.epoch <= lastEpoch;
      if (isKept) this.#evaluated.add(event.epoch);
      return isKept;
    });
    await this.options.store.writeText("metrics.jsonl", lines.map((line) => `${line}\n`).join(""));
  }

  async *#evaluate(
    stage: 1 | StageNumber,
    epoch: number,
    weights: EvaluatedWeights,
    slot?: "before" | "afterStage2" | "after",
  ): AsyncGenerator<RefineEvent, void> {
    const { evaluate, encoder, config, store, signal } = this.options;
    if (!evaluate) return;
    const accuracy = await evaluate(weights === "ema" ? this.#ema : encoder).catch((error: unknown) => {
      if (signal?.aborted) return undefined; // given up; a resumed run makes it again
      throw error;
    });
    if (!accuracy) return;
    if (slot) this.#knn[slot] = accuracy;
    const event: RefineEvent = { kind: "knn", stage, epoch, weights, k: config.k, accuracy };
    await store.appendLine("metrics.jsonl", JSON.stringify(event));
    yield event;
  }

  result(): RefineResult {
    this.#isHandedOut = true;
    const { precision } = this.options.config;
    const skipped = precision === "f16" ? { skippedUpdates: this.#skipped } : {};
    return { finished: this.#finished, updates: this.#updates, ...skipped, knn: this.#knn, ema: this.#ema };
  }

  /** Frees what the caller was not given. */
  close(): void {
    this.#stage?.destroy();
    this.#model.destroy();
    if (!this.#isHandedOut) this.#average.destroy();
  }
}

const eventSchema = z.object({
  kind: z.string(),
  stage: z.number(),
  update: z.number().default(0),
  epoch: z.number().default(0),
  accuracy: z.array(z.number()).optional(),
});

/** An event of `metrics.jsonl`; undefined for a line that a kill cut off. */
function parseLine(line: string): z.output<typeof eventSchema> | undefined {
  if (!line.endsWith("}")) return undefined;
  return eventSchema.safeParse(JSON.parse(line)).data;
}

function resizeBound(config: RefineConfig, encoder: VisionTransformer): number {
  return config.resizeTo || 2 * (config.globalPixels || encoder.config.heightPixels);
}

function checkConfig(config: RefineConfig, images: ImageSource, encoder: VisionTransformer): void {
  viewsOf(config, encoder.config);
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
