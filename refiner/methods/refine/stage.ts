import {
  type HostArray,
  type LossScale,
  OptionError,
  type Readback,
  type RecordedProgram,
  readLossScale,
  stepScalars,
  type Tensor,
} from "../../../engine/index.ts";
import { ownPart } from "../../data/batches/shared_batches.ts";
import type { ImageBatch } from "../../data/index.ts";
import type { ViewConfig } from "../../data/views/index.ts";
import { ViewInputs } from "../../data/views/view_inputs.ts";
import { type Exchange, oneRank } from "../../exchange/exchange.ts";
import { LossScaling } from "../../training/loss_scaling.ts";
import { HostArena } from "../../training/offload/host_arena.ts";
import type { StagingRoom, StateArena } from "../../training/offload/streamed_step.ts";
import { WorkingWeights } from "../../training/offload/working_weights.ts";
import { ArenaOptimizer } from "../../training/optimizer.ts";
import { learningRateAt } from "../../training/schedule.ts";
import type { UpdatePlace } from "../../training/training_method.ts";
import { allHeadMetrics, type HeadMetrics, readHeadMetrics } from "./head_metrics.ts";
import { MicroBatchStep } from "./micro_batch.ts";
import { partWithinLimits } from "./planning/part_within_limits.ts";
import type { PlannedWork } from "./planning/planned_work.ts";
import type { RefineConfig } from "./refine_config.ts";
import { type StageViews, viewConfigOf } from "./refine_views.ts";
import type { RefinerModel } from "./refiner_model.ts";
import { stageCut } from "./stage_cut.ts";
import { encoderOptimizer, recomputedBlocks, stagingRoom } from "./stage_optimizers.ts";
import type { StagePlan } from "./stage_plan.ts";
import type { recordStep, StepSetup } from "./step.ts";
import { wholeStep } from "./step_in_parts.ts";
import { Teacher } from "./teacher.ts";

/** What one update gave. */
export interface UpdateResult {
  readonly loss: number;
  readonly heads: Readonly<Record<string, HeadMetrics>>;
  readonly learningRate: { readonly heads: number; readonly encoder?: number };
  readonly gradientNorm: { readonly heads: number; readonly encoder?: number };
  /** Factor of the next update, and updates of the encoder that the stage has skipped; with f16 in stage 3. */
  readonly lossScale?: LossScale;
}

/** Programs and optimiser state of one stage. */
export class Stage {
  readonly setup: StepSetup;
  readonly heads: ArenaOptimizer;
  readonly encoder:
    | { readonly optimizer: ArenaOptimizer; readonly average: StateArena; readonly lossScaling?: LossScaling }
    | undefined;
  readonly teacher: Teacher | undefined;
  /** Set where the encoder's parameters lie on the host meanwhile, from {@link begin} on. */
  readonly weights: WorkingWeights | undefined;
  /** By the number of images: the whole batch, or the micro-batch and a smaller last one. */
  readonly #inputs = new Map<number, StageViews>();
  /** Images that are encoded at once: those of the settings, or reduced to as many as the limits of the device allow. */
  readonly part: number;
  readonly isReduced: boolean;
  readonly step: ReturnType<typeof recordStep> | MicroBatchStep;
  readonly #room: StagingRoom | undefined;

  /**
   * @param imageBytes - room for one decoded image
   * @param average - moving average of the encoder, updated in stage 3
   * @param viewsOfImages - the views of so many images, where they are not to be cut out of them
   * @throws OverLimitError where the micro-batch of the settings is over the limits of the device, naming one that is not
   */
  constructor(
    readonly model: RefinerModel,
    readonly config: RefineConfig,
    readonly plan: StagePlan,
    imageBytes: number,
    average: StateArena,
    viewsOfImages = (views: ViewConfig, images: number): StageViews =>
      new ViewInputs(views, images, images * imageBytes),
    readonly exchange: Exchange = oneRank,
  ) {
    const { batch, teacherFactor, offload } = config;
    const trainsEncoder = plan.stage === 3;
    const moments = offload.includes("moments");
    const weights =
      trainsEncoder && offload.includes("weights") ? new WorkingWeights(model.encoder.parameters) : undefined;
    this.weights = weights;
    this.#room = stagingRoom(model, {
      ...{ moments, average: trainsEncoder && average instanceof HostArena, weights: weights !== undefined },
    });
    const offloaded = this.#room && { moments, room: this.#room };
    this.heads = new ArenaOptimizer(model.headParameters, { weightDecay: config.headWeightDecay }, offloaded);
    const lossScaling = config.precision === "f16" ? { lossScaling: new LossScaling(model.device) } : {};
    this.encoder = trainsEncoder
      ? { optimizer: encoderOptimizer(model, config, offloaded && { ...offloaded, weights }), average, ...lossScaling }
      : undefined;
    this.teacher = teacherFactor > 0 ? new Teacher(model, { factor: teacherFactor, trainsEncoder }) : undefined;
    const views = viewConfigOf(config, model.encoder.config);
    const { sizes, count, ...cut } = stageCut(config, this.encoder?.optimizer, exchange);
    this.setup = {
      model,
      views: (program, images) => this.#viewsFor(images).record(program),
      heads: this.heads,
      ...cut,
      recompute: recomputedBlocks(config, model.encoder.config.blocks),
      precision: config.precision,
      weights,
      ...(this.encoder ? { encoder: this.encoder } : {}),
      ...(this.teacher ? { teacher: this.teacher } : {}),
      loss: {
        layout: {
          batch,
          globalViews: views.global.views.length,
          localViews: views.local?.views.length ?? 0,
          localIndexing: config.localViewsAsPublished ? "published" : "stated",
        },
        temperature: config.temperature,
        topK: plan.stage === 2 ? config.stage2TopK : config.topK,
        swap: config.swap,
        oracle: config.oracle,
        seed: config.seed,
      },
    };
    const { part, isReduced, recorded } = partWithinLimits(sizes, (size) => {
      this.#inputs.clear();
      for (const some of [size, count % size]) if (some > 0) this.#inputs.set(some, viewsOfImages(views, some));
      if (size === batch) return wholeStep(this.setup);
      return new MicroBatchStep(this.setup, size, exchange, config.microBatch || undefined);
    });
    this.part = part;
    this.isReduced = isReduced;
    this.step = recorded;
  }

  /** Planned device memory and work of one update, without allocating. */
  get plannedWork(): PlannedWork {
    const step = this.step;
    const streams = [this.heads, ...(this.encoder ? [this.encoder.optimizer] : [])].map((one) => one.streamedWork);
    const { dispatches, flops } = step instanceof MicroBatchStep ? step : step.stats;
    const common = {
      stagingBytes: this.#room?.sizeBytes ?? 0,
      partialSumBytes: this.setup.parts?.tree?.sizeBytes ?? 0,
      streamedBytes: streams.reduce((sum, { bytes }) => sum + bytes, 0),
      dispatches: streams.reduce((sum, stream) => sum + stream.dispatches, dispatches),
      flops: streams.reduce((sum, stream) => sum + stream.flops, flops),
    };
    if (step instanceof MicroBatchStep) {
      const { programs, arenaBytes, featureBytes } = step.memory;
      const inputBytes = programs.reduce((sum, program) => sum + program.inputBytes, 0);
      return { ...common, arenaBytes, inputBytes, featureBytes };
    }
    const { plannedPeakBytes, inputBytes } = step.stats;
    return { ...common, arenaBytes: plannedPeakBytes, inputBytes, featureBytes: 0 };
  }

  /** The programs of an update, but for those of state that lies on the host. */
  get programs(): readonly RecordedProgram<Record<string, Tensor>>[] {
    return this.step instanceof MicroBatchStep ? this.step.programs : [this.step];
  }

  /** State of optimisers and teacher by the prefix of its names in checkpoints. */
  get arenas(): Readonly<Record<string, StateArena>> {
    const { heads, encoder, teacher } = this;
    return {
      "optimizer.heads.m.": heads.firstMoment,
      "optimizer.heads.v.": heads.secondMoment,
      ...(encoder
        ? {
            "optimizer.encoder.m.": encoder.optimizer.firstMoment,
            "optimizer.encoder.v.": encoder.optimizer.secondMoment,
          }
        : {}),
      ...Object.fromEntries((teacher?.arenas ?? []).map((arena) => [`${arena.name.replace(" ", ".")}.`, arena])),
    };
  }

  /** State of loss scaling, by its name in checkpoints. */
  get lossScale(): Readonly<Record<string, Tensor>> {
    const lossScaling = this.encoder?.lossScaling;
    return lossScaling ? { "optimizer.encoder.lossScale": lossScaling.state } : {};
  }

  /** Takes parameters to the host that are to lie there. @throws DeviceLostError */
  async begin(): Promise<void> {
    await this.weights?.takeOver();
  }

  /** Frees memory of the device that the next update takes again, for an evaluation between updates. */
  release(): void {
    this.step.release();
    this.encoder?.optimizer.release();
    this.weights?.release();
  }

  /** Start values after that many updates, before a checkpoint is restored. */
  reset(updates: number): void {
    const { beta1, beta2 } = this.config;
    this.encoder?.lossScaling?.reset({ updates, beta1, beta2 });
  }

  #viewsFor(images: number): StageViews {
    const inputs = this.#inputs.get(images);
    if (!inputs) throw new OptionError(`refine: no views were planned for ${images} images`);
    return inputs;
  }

  /**
   * Submits one update; the result arrives later.
   *
   * @param place - random choices are keyed by its updates of all stages, views by its epochs
   * @param also - further outputs of the step to read, such as `slots0`, the chosen queue slots of the first head
   */
  async run(
    batch: ImageBatch,
    { update, total, epoch }: UpdatePlace,
    also: readonly string[] = [],
  ): Promise<{ readonly result: Promise<UpdateResult>; readonly values: Promise<Record<string, HostArray>> }> {
    const { config, plan, encoder } = this;
    if (this.weights && this.#room) await this.weights.bringUp(this.#room);
    const learningRate = {
      heads: learningRateAt(plan.heads, update),
      ...(plan.encoder ? { encoder: learningRateAt(plan.encoder, update) } : {}),
    };
    const adam = { step: update + 1, beta1: config.beta1, beta2: config.beta2, epsilon: config.adamEpsilon };
    const inputs: Record<string, ArrayLike<number>> = {
      samples: Int32Array.from(batch.indices),
      classes: batch.labels,
      headScalars: stepScalars({ ...adam, learningRate: learningRate.heads }),
      update: Uint32Array.of(total),
    };
    if (encoder && learningRate.encoder !== undefined) {
      inputs.encoderScalars = stepScalars({ ...adam, learningRate: learningRate.encoder, averageFactor: config.ema });
    }
    const names = [
      ...(this.model.heads.length > 0 ? ["metrics", "headNorm"] : []),
      ...(encoder ? ["encoderNorm"] : []),
      ...(encoder?.lossScaling ? ["lossScale"] : []),
      ...also,
    ];
    const own = ownPart(batch);
    const parts = (first: number, count: number) => this.#viewsFor(count).values(own, first, config.seed, epoch);
    const step = this.step;
    const readback =
      step instanceof MicroBatchStep
        ? await step.run({ parts, batch: inputs }, names)
        : await this.#runWhole(step, { ...parts(0, config.batch), ...inputs }, names);
    const values = readback.read();
    return { result: this.#resultOf(values, learningRate), values };
  }

  async #runWhole(
    step: ReturnType<typeof recordStep>,
    values: Readonly<Record<string, ArrayLike<number>>>,
    names: readonly string[],
  ): Promise<Readback<string>> {
    const readback = await step.run(askedFor(step, values), names);
    await this.heads.finish();
    await this.encoder?.optimizer.finish();
    return readback;
  }

  async #resultOf(
    read: Promise<Record<string, ArrayLike<number>>>,
    learningRate: UpdateResult["learningRate"],
  ): Promise<UpdateResult> {
    const values = await read;
    const own = { metrics: values.metrics ?? [], norm: values.headNorm?.[0] ?? Number.NaN };
    const { metrics, norm } = await allHeadMetrics(this.model, this.exchange, own);
    const heads = readHeadMetrics(this.model.placed, metrics);
    return {
      heads,
      learningRate,
      loss: Object.values(heads).reduce((sum, head) => sum + head.loss, 0),
      gradientNorm: {
        heads: norm,
        ...(this.encoder ? { encoder: values.encoderNorm?.[0] ?? Number.NaN } : {}),
      },
      ...(values.lossScale ? { lossScale: readLossScale(values.lossScale) } : {}),
    };
  }

  /** Frees the programs and the state of optimisers and teacher; model and average stay. */
  destroy(): void {
    this.step.destroy();
    this.setup.parts?.tree?.destroy();
    this.heads.destroy();
    this.encoder?.optimizer.destroy();
    this.encoder?.lossScaling?.destroy();
    this.teacher?.destroy();
    this.weights?.release();
    void this.#room?.destroy();
  }
}

/** The values that the program has inputs for: a choice among one neighbour needs no random numbers, for example. */
function askedFor(
  step: ReturnType<typeof recordStep>,
  values: Record<string, ArrayLike<number>>,
): Record<string, ArrayLike<number>> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => step.program.inputs.has(name)));
}
