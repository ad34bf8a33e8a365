import { type Arena, OptionError, stepScalars } from "../engine/index.ts";
import { ViewInputs } from "./batch_inputs.ts";
import type { RefineConfig } from "./config.ts";
import type { ImageBatch } from "./data/index.ts";
import { type HeadMetrics, readHeadMetrics } from "./metrics.ts";
import type { RefinerModel } from "./model.ts";
import { ArenaOptimizer } from "./optimizer.ts";
import { layerDecayFactor, learningRateAt, peakLearningRate, type Schedule } from "./schedule.ts";
import { recordStep, type StepSetup } from "./step.ts";
import { viewsOf } from "./view_settings.ts";

export type StageNumber = 2 | 3;

/** Updates that a stage makes. */
export interface StagePlan {
  readonly stage: StageNumber;
  readonly updatesPerEpoch: number;
  readonly updates: number;
  readonly heads: Schedule;
  readonly encoder?: Schedule;
}

/** What one update gave. */
export interface UpdateResult {
  readonly loss: number;
  readonly heads: Readonly<Record<string, HeadMetrics>>;
  readonly learningRate: { readonly heads: number; readonly encoder?: number };
  readonly gradientNorm: { readonly heads: number; readonly encoder?: number };
}

/** Schedules of a stage for a data set. @throws OptionError if the data set has less than one batch */
export function planStage(config: RefineConfig, stage: StageNumber, images: number): StagePlan {
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
  return { stage, updatesPerEpoch, updates, heads: schedule, ...(stage === 3 ? { encoder: schedule } : {}) };
}

/** Programs and optimiser state of one stage. */
export class Stage {
  readonly heads: ArenaOptimizer;
  readonly encoder: { readonly optimizer: ArenaOptimizer; readonly average: Arena } | undefined;
  readonly #inputs: ViewInputs;
  readonly #step: ReturnType<typeof recordStep>;

  /**
   * @param imageBytes - room for one decoded image
   * @param average - moving average of the encoder, updated in stage 3
   */
  constructor(
    readonly model: RefinerModel,
    readonly config: RefineConfig,
    readonly plan: StagePlan,
    imageBytes: number,
    average: Arena,
  ) {
    this.heads = new ArenaOptimizer(model.headParameters, { weightDecay: config.headWeightDecay });
    this.encoder = plan.stage === 3 ? { optimizer: encoderOptimizer(model, config), average } : undefined;
    const views = viewsOf(config, model.encoder.config);
    this.#inputs = new ViewInputs(views, config.batch, config.batch * imageBytes);
    const setup: StepSetup = {
      model,
      views: (program) => this.#inputs.record(program),
      heads: this.heads,
      ...(this.encoder ? { encoder: this.encoder } : {}),
      loss: {
        layout: {
          batch: config.batch,
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
    this.#step = recordStep(setup);
  }

  /** Statistics of the recorded step, without allocating. */
  get stats() {
    return this.#step.stats;
  }

  /**
   * Submits one update; the result arrives later.
   *
   * @param update - completed updates of this stage
   * @param total - completed updates of all stages, which the random choices are keyed by
   * @param epoch - epochs of all stages, which the views are keyed by
   */
  async run(
    batch: ImageBatch,
    update: number,
    total: number,
    epoch: number,
  ): Promise<{ readonly result: Promise<UpdateResult> }> {
    const { config, plan, encoder } = this;
    const learningRate = {
      heads: learningRateAt(plan.heads, update),
      ...(plan.encoder ? { encoder: learningRateAt(plan.encoder, update) } : {}),
    };
    const adam = { step: update + 1, beta1: config.beta1, beta2: config.beta2, epsilon: config.adamEpsilon };
    const inputs: Record<string, ArrayLike<number>> = {
      ...this.#inputs.values(batch, 0, config.seed, epoch),
      samples: Int32Array.from(batch.indices),
      classes: batch.labels,
      headScalars: stepScalars({ ...adam, learningRate: learningRate.heads }),
    };
    if (this.#step.program.inputs.has("update")) inputs.update = Uint32Array.of(total);
    if (encoder && learningRate.encoder !== undefined) {
      inputs.encoderScalars = stepScalars({ ...adam, learningRate: learningRate.encoder, averageFactor: config.ema });
    }
    const names = encoder ? ["metrics", "headNorm", "encoderNorm"] : ["metrics", "headNorm"];
    const readback = await this.#step.run(inputs, names);
    return { result: readback.read().then((values) => this.#resultOf(values, learningRate)) };
  }

  #resultOf(values: Record<string, ArrayLike<number>>, learningRate: UpdateResult["learningRate"]): UpdateResult {
    const heads = readHeadMetrics(this.model.names, values.metrics ?? []);
    return {
      heads,
      learningRate,
      loss: Object.values(heads).reduce((sum, head) => sum + head.loss, 0),
      gradientNorm: {
        heads: values.headNorm?.[0] ?? Number.NaN,
        ...(this.encoder ? { encoder: values.encoderNorm?.[0] ?? Number.NaN } : {}),
      },
    };
  }

  destroy(): void {
    this.#step.destroy();
  }
}

function encoderOptimizer(model: RefinerModel, config: RefineConfig): ArenaOptimizer {
  const { blocks } = model.encoder.config;
  const frozen = Math.floor(config.frozenShare * blocks);
  return new ArenaOptimizer(model.encoder.parameters, {
    weightDecay: config.encoderWeightDecay,
    scaleOf: (name) => {
      const depth = model.encoder.depthOf(name);
      return frozen > 0 && depth <= frozen ? 0 : layerDecayFactor(config.layerDecay, depth, blocks);
    },
  });
}
