import { type Device, EngineError, hostUniform, readLossScale, stepScalars } from "../../../engine/index.ts";
import { type MaskedAutoencoder, maskFromNoise, saveMae } from "../../../models/index.ts";
import type { ImageBatch } from "../../data/index.ts";
import { plainView, viewDefaults } from "../../data/views/index.ts";
import { ViewInputs } from "../../data/views/view_inputs.ts";
import { requireFiniteLoss } from "../../training/collapse_error.ts";
import { LossScaling } from "../../training/loss_scaling.ts";
import { ArenaOptimizer } from "../../training/optimizer.ts";
import type { RunCheckpointMetadata, RunState } from "../../training/run_state.ts";
import type { RunStore } from "../../training/run_store.ts";
import { learningRateAt, peakLearningRate, type Schedule } from "../../training/schedule.ts";
import type {
  ScaledUpdates,
  TrainingMethod,
  TrainingStage,
  UpdateCost,
  UpdateHeader,
  UpdatePlace,
} from "../../training/training_method.ts";
import { fixedPart } from "../fixed_parts.ts";
import { MaeStep, type MaeStepPlan, patchCounts } from "./mae_step.ts";
import type { PretrainConfig } from "./pretrain_config.ts";
import type { MaeUpdate, PretrainEvent } from "./pretrain_events.ts";

/** What a pre-training is prepared for. */
interface MaeTask {
  /** Number of training images. */
  readonly images: number;
  /** Room for one decoded image. */
  readonly imageBytes: number;
  /** Where the weights came from, for the file that is written. */
  readonly source: "random weights" | "given weights";
}

/** Masked autoencoding (arXiv 2111.06377) as a method of training, in one stage. */
export class MaeMethod implements TrainingMethod<MaeUpdate, PretrainEvent> {
  readonly name = "pretrain";
  readonly updatesInFlight = 0;
  readonly stages: readonly TrainingStage[];
  readonly #schedule: Schedule;
  readonly #encoder: ArenaOptimizer;
  readonly #decoder: ArenaOptimizer;
  /** With precision f16. */
  readonly #lossScaling: LossScaling | undefined;
  readonly #inputs: ViewInputs;
  readonly #step: MaeStep;
  /** Images of one program. */
  readonly #part: number;

  constructor(
    readonly model: MaskedAutoencoder,
    readonly config: PretrainConfig,
    readonly task: MaeTask,
  ) {
    const { images, imageBytes } = task;
    const { channels } = model.encoder.config;
    const updatesPerEpoch = Math.floor(images / config.batch);
    if (updatesPerEpoch < 1) {
      throw new EngineError(
        `pretrain: ${images} images are less than one batch of ${config.batch}; use a batch of at most ${images}`,
      );
    }
    const updates = Math.round(config.epochs * updatesPerEpoch);
    this.stages = [{ stage: 1, updates, updatesPerEpoch }];
    this.#schedule = {
      peak: peakLearningRate(config.learningRate, config.batch),
      warmupUpdates: Math.round(config.warmup * updatesPerEpoch),
      totalUpdates: updates,
      end: config.endLearningRate,
    };
    this.#encoder = new ArenaOptimizer(model.encoder.parameters, { weightDecay: config.weightDecay });
    this.#decoder = new ArenaOptimizer(model.decoderParameters, { weightDecay: config.weightDecay });
    this.#lossScaling = config.precision === "f16" ? new LossScaling(model.device) : undefined;
    const view = { ...plainView, area: config.area, ratio: [3 / 4, 4 / 3] as const, flip: config.flip };
    const views = {
      ...viewDefaults(channels === 1 ? 1 : 3),
      global: { heightPixels: config.pixels, widthPixels: config.pixels, views: [view] },
    };
    const fixed = fixedPart("pretrain", config);
    this.#part = fixed ?? config.batch;
    this.#inputs = new ViewInputs(views, this.#part, this.#part * imageBytes);
    this.#step = new MaeStep({
      ...{ model, config, part: this.#part, inParts: fixed !== undefined, inputs: this.#inputs },
      optimizers: [this.#encoder, this.#decoder],
      lossScaling: this.#lossScaling,
    });
  }

  get device(): Device {
    return this.model.device;
  }

  /** Planned device memory and work of one update, without allocating. */
  get plan(): MaeStepPlan {
    return this.#step.plan;
  }

  startEvent(run: { readonly updates: number; readonly images: number }): PretrainEvent {
    return { kind: "start", ...run };
  }

  async beginStage(_: TrainingStage, updates: number): Promise<void> {
    const { beta1, beta2 } = this.config;
    this.#lossScaling?.reset({ updates, beta1, beta2 });
  }

  get scaled(): ScaledUpdates | undefined {
    return this.#lossScaling && { scaling: this.#lossScaling, one: "the update", many: "updates" };
  }

  async run(batch: ImageBatch, { update, epoch }: UpdatePlace): Promise<{ readonly result: Promise<MaeUpdate> }> {
    const { config } = this;
    const { patches } = patchCounts(this.model, config);
    const noise = hostUniform(config.batch * patches, { seed: config.seed, purpose: "mask", step: update });
    const learningRate = learningRateAt(this.#schedule, update);
    const { beta1, beta2 } = config;
    const inputs = (first: number) => {
      const values = noise.subarray(first * patches, (first + this.#part) * patches);
      const { kept: _, ...mask } = maskFromNoise(values, patches, config.maskRatio);
      return { ...this.#inputs.values(batch, first, config.seed, epoch), ...mask };
    };
    const readback = await this.#step.run(inputs, stepScalars({ learningRate, step: update + 1, beta1, beta2 }));
    const result = readback.read().then(({ loss, norm, lossScale }) => ({
      loss: loss?.[0] ?? Number.NaN,
      learningRate,
      gradientNorm: norm?.[0] ?? Number.NaN,
      ...(lossScale ? { lossScale: readLossScale(lossScale) } : {}),
    }));
    return { result };
  }

  updateEvent(_: TrainingStage, header: UpdateHeader, result: MaeUpdate, cost: UpdateCost): PretrainEvent {
    return { kind: "update", stage: 1, ...header, ...result, ...cost };
  }

  check(update: number, result: MaeUpdate): void {
    requireFiniteLoss("pretrain", update, result, this.config.precision);
  }

  state(): RunState {
    return {
      arenas: {
        "encoder.": this.model.encoder.parameters,
        "decoder.": this.model.decoderParameters,
        "optimizer.encoder.m.": this.#encoder.firstMoment,
        "optimizer.encoder.v.": this.#encoder.secondMoment,
        "optimizer.decoder.m.": this.#decoder.firstMoment,
        "optimizer.decoder.v.": this.#decoder.secondMoment,
      },
      tensors: {},
      ...(this.#lossScaling ? { lossScale: { "optimizer.lossScale": this.#lossScaling.state } } : {}),
    };
  }

  programs(): MaeStep["programs"] {
    return this.#step.programs;
  }

  checkpointMetadata(_: TrainingStage, { update }: { readonly update: number }): RunCheckpointMetadata {
    return { stage: "1", update: String(update) };
  }

  async writeResult(store: RunStore): Promise<void> {
    const metadata = { source: this.task.source, method: "MAE (arXiv 2111.06377)" };
    await store.write("mae.safetensors", (sink) => saveMae(sink, this.model, metadata));
  }

  /** Frees all but the model. */
  destroy(): void {
    this.#step.destroy();
    this.#encoder.destroy();
    this.#decoder.destroy();
    this.#lossScaling?.destroy();
  }
}

/** Pixels of the shorter side that images are reduced to while they are decoded. */
export function decodedSide(config: PretrainConfig): number {
  return config.resizeTo || 2 * config.pixels;
}
