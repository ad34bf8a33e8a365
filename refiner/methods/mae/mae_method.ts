import {
  type Device,
  EngineError,
  full,
  gradientNorm,
  hostUniform,
  type ProgramStats,
  type RecordedProgram,
  readLossScale,
  recordProgram,
  stepScalars,
  type Tensor,
} from "../../../engine/index.ts";
import { gridOf, type MaskedAutoencoder, maskFromNoise, saveMae } from "../../../models/index.ts";
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
  readonly #step: ReturnType<MaeMethod["record"]>;

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
    this.#inputs = new ViewInputs(views, config.batch, config.batch * imageBytes);
    this.#step = this.record();
  }

  get device(): Device {
    return this.model.device;
  }

  /** Planned device memory and work of one update, without allocating. */
  get plan(): ProgramStats {
    return this.#step.stats;
  }

  record() {
    const { model, config } = this;
    const { batch } = config;
    return recordProgram(
      model.device,
      (program) => {
        const [view] = this.#inputs.record(program);
        if (!view) throw new EngineError("pretrain: the views recorded nothing");
        const { patches, kept } = this.#counts();
        const mask = {
          keptRows: program.input("keptRows", [batch * kept], "u32"),
          keptPositions: program.input("keptPositions", [batch * kept], "u32"),
          restoreRows: program.input("restoreRows", [batch * patches], "u32"),
          mask: program.input("mask", [batch, patches]),
        };
        const { loss } = model.forward(view, mask, {
          normalization: config.normalizePixels,
          precision: config.precision,
        });
        const optimizers = [this.#encoder, this.#decoder];
        const targets = optimizers.map((optimizer) => optimizer.trained.map((name) => optimizer.parameters.get(name)));
        const scaling = this.#lossScaling;
        const gradients = program.gradients(loss, targets.flat(), scaling?.scale(full(program, loss.shape, 1)));
        optimizers.forEach((optimizer, i) => {
          const first = targets.slice(0, i).flat().length;
          optimizer.assign(program, gradients.slice(first, first + (targets[i]?.length ?? 0)));
        });
        // One decision for both: they are the two ends of one backward pass.
        const whole = gradientNorm(
          program,
          optimizers.flatMap((optimizer) => optimizer.gradients.chunks),
        );
        const given = program.input("scalars", [12]);
        const { norm, scalars } = scaling?.control(program, given, whole) ?? { norm: whole.norm, scalars: given };
        for (const optimizer of optimizers) optimizer.step(program, scalars);
        const outputs: Record<string, Tensor> = { loss, norm };
        return scaling ? { ...outputs, lossScale: scaling.state } : outputs;
      },
      { name: "pretrain" },
    );
  }

  #counts(): { patches: number; kept: number } {
    const { config, model } = this;
    const [rows, columns] = gridOf(model.encoder.config, config.pixels, config.pixels);
    const patches = rows * columns;
    return { patches, kept: Math.floor(patches * (1 - config.maskRatio)) };
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
    const { patches } = this.#counts();
    const noise = hostUniform(config.batch * patches, { seed: config.seed, purpose: "mask", step: update });
    const { kept: _, ...mask } = maskFromNoise(noise, patches, config.maskRatio);
    const learningRate = learningRateAt(this.#schedule, update);
    const { beta1, beta2 } = config;
    const scalars = stepScalars({ learningRate, step: update + 1, beta1, beta2 });
    const inputs = { ...this.#inputs.values(batch, 0, config.seed, epoch), ...mask, scalars };
    const names = ["loss", "norm", ...(this.#lossScaling ? ["lossScale"] : [])];
    const readback = await this.#step.run(inputs, names);
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

  programs(): readonly RecordedProgram<Record<string, Tensor>>[] {
    return [this.#step];
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
