import {
  type Device,
  EngineError,
  full,
  gradientNorm,
  hostUniform,
  type LossScale,
  readLossScale,
  recordProgram,
  stepScalars,
  type Tensor,
} from "../engine/index.ts";
import {
  gridOf,
  initializeParameters,
  MaskedAutoencoder,
  maeDecoderParameters,
  maskFromNoise,
  saveMae,
  VisionTransformer,
  vitParameters,
} from "../models/index.ts";
import { bytesPerImage, largestArea, ViewInputs } from "./batch_inputs.ts";
import { hasCheckpoint, newestCheckpoint, type RunState, restoreState, saveCheckpoint } from "./checkpoint.ts";
import { BrokenImages, batchesOfEpochs, type ImageBatch, type ImageSource } from "./data/index.ts";
import { CollapseError } from "./health.ts";
import { asImageSource, type ImageInput } from "./image_input.ts";
import { LossScaling } from "./loss_scaling.ts";
import { ArenaOptimizer } from "./optimizer.ts";
import { type PretrainConfig, pretrainModel } from "./pretrain_config.ts";
import type { RunStore } from "./run_store.ts";
import { learningRateAt, peakLearningRate, type Schedule } from "./schedule.ts";
import { refuseSmallImages } from "./small_images.ts";
import { StepClock } from "./step_clock.ts";
import { plainView, viewDefaults } from "./views/index.ts";

export interface PretrainOptions {
  readonly device: Device;
  readonly images: ImageInput;
  readonly config: PretrainConfig;
  readonly store: RunStore;
  /** Go on from the newest checkpoint of the store, or from the beginning if none was written yet. */
  readonly resume?: boolean;
  /** Finishes the current update, saves, and ends the run. */
  readonly signal?: AbortSignal;
  /** Memory of the host process in bytes, for the metrics. */
  readonly hostBytes?: () => number;
  /** Trained in place, from the weights that it has; default: a new one with random weights. */
  readonly encoder?: VisionTransformer;
}

export type PretrainEvent =
  /** The first one, before anything is written: the options are right. */
  | { readonly kind: "start"; readonly updates: number; readonly images: number }
  | {
      readonly kind: "update";
      readonly stage: 1;
      readonly update: number;
      readonly of: number;
      readonly epoch: number;
      readonly loss: number;
      readonly learningRate: number;
      /** Norm of all gradients together. */
      readonly gradientNorm: number;
      /** Factor of the next update, and updates skipped so far; with precision f16. */
      readonly lossScale?: LossScale;
      readonly imagesPerSecond: number;
      readonly waitShare: number;
      /** Held on the device after this update. */
      readonly deviceBytes: number;
      readonly hostBytes?: number;
    }
  | { readonly kind: "checkpoint"; readonly file: string }
  /** An image that cannot be read, once each; others take its place. */
  | { readonly kind: "broken"; readonly image: string; readonly text: string }
  | { readonly kind: "notice"; readonly text: string };

export interface PretrainResult {
  readonly finished: boolean;
  readonly updates: number;
  /** Updates that f16 overflow skipped; with precision f16. */
  readonly skippedUpdates?: number;
  readonly model: MaskedAutoencoder;
}

/**
 * Trains a masked autoencoder from random weights (arXiv 2111.06377).
 *
 * @throws OptionError, DataError, CheckpointError, CollapseError for a loss that is not finite; MissingFeatureError for f16 on a
 *   device without it
 */
export async function* pretrain(options: PretrainOptions): AsyncGenerator<PretrainEvent, PretrainResult> {
  const { config } = options;
  if (config.precision === "f16") options.device.requireFeature("pretrain: precision f16", "shader-f16");
  const images = await asImageSource(options.images);
  if (!config.enlarge)
    await refuseSmallImages("pretrain", images, { viewPixels: config.pixels, resizeTo: resizeBound(config) });
  const training = await Training.prepare(options, images);
  try {
    return yield* train(training, options, images);
  } finally {
    training.destroy(options.encoder);
  }
}

async function* train(
  training: Training,
  options: PretrainOptions,
  images: ImageSource,
): AsyncGenerator<PretrainEvent, PretrainResult> {
  const { config, store, signal } = options;
  yield { kind: "start", updates: training.schedule.totalUpdates, images: images.length };
  let update = 0;
  const isBegun = options.resume && (await hasCheckpoint(store));
  if (options.resume && !isBegun) {
    yield { kind: "notice", text: `${store.name}: no checkpoint was written yet; starting at the beginning` };
    await keepMetrics(store, 0);
  }
  if (isBegun) {
    const { checkpoint, file, damaged } = await newestCheckpoint(store);
    for (const text of damaged) yield { kind: "notice", text: `${text}; going back to ${file}` };
    await restoreState(checkpoint, training.state);
    await checkpoint.close();
    update = Number(checkpoint.metadata.get("update"));
    await keepMetrics(store, update);
    yield { kind: "notice", text: `resumed from ${file}` };
  }
  const brokenEvents: PretrainEvent[] = [];
  const broken = new BrokenImages(images.length, {
    maxBad: config.maxBad,
    onBroken: (error, index) => brokenEvents.push({ kind: "broken", image: images.name(index), text: error.message }),
  });
  let skipped = await training.skippedUpdates();
  const clock = new StepClock(config.batch);
  const { updatesPerEpoch, schedule } = training;
  let lastSave = performance.now();
  const save = async (): Promise<PretrainEvent> => {
    await saveCheckpoint(store, update, training.state, { stage: "1", update: String(update) });
    lastSave = performance.now();
    return { kind: "checkpoint", file: `checkpoints/${String(update).padStart(9, "0")}.safetensors` };
  };
  const feed = batchesOfEpochs(images, {
    batchSize: config.batch,
    seed: config.seed,
    first: update,
    end: signal?.aborted ? update : schedule.totalUpdates,
    prefetch: config.prefetch,
    resizeTo: training.resizeTo,
    maxPixels: largestArea(training.resizeTo),
    broken,
  });
  for await (const batch of clock.waiting(feed)) {
    const epoch = Math.floor(update / updatesPerEpoch);
    yield* brokenEvents.splice(0);
    const { loss, ...rest } = await training.run(batch, update, epoch);
    update++;
    const learningRate = learningRateAt(schedule, update - 1);
    const event = {
      kind: "update",
      stage: 1,
      update,
      of: schedule.totalUpdates,
      epoch,
      loss,
      learningRate,
      ...rest,
      ...clock.lap(),
      deviceBytes: training.model.device.counters.heldBytes,
      ...(options.hostBytes ? { hostBytes: options.hostBytes() } : {}),
    } as const;
    await store.appendLine("metrics.jsonl", JSON.stringify(event));
    yield event;
    if (rest.lossScale && rest.lossScale.skipped > skipped) {
      skipped = rest.lossScale.skipped;
      const text = `update ${update}: f16 overflow, the update was skipped (${skipped} so far), the loss scale is now ${rest.lossScale.scale}`;
      yield { kind: "notice", text };
    }
    if (!Number.isFinite(loss))
      throw new CollapseError(
        `pretrain: the loss is ${loss} at update ${update}; lower the learning rate (now ${learningRate})${config.precision === "f16" ? ", or train in precision f32: an activation beyond 65504, the largest f16, has the same effect" : ""}`,
      );
    const isEpochEnd = update % updatesPerEpoch === 0;
    const isDue = isEpochEnd && (update / updatesPerEpoch) % config.checkpointEvery < 1;
    const isTime = performance.now() - lastSave > config.checkpointMinutes * 60_000;
    if (isDue || isTime || signal?.aborted || update === schedule.totalUpdates) yield await save();
    clock.restart();
    if (signal?.aborted) break;
  }
  const finished = update >= schedule.totalUpdates;
  if (finished) {
    if (config.precision === "f16")
      yield { kind: "notice", text: `f16 overflow skipped ${skipped} of ${update} updates` };
    const { model } = training;
    await store.write("mae.safetensors", (sink) =>
      saveMae(sink, model, { source: "random weights", method: "MAE (arXiv 2111.06377)" }),
    );
  }
  if (broken.count > 0)
    yield { kind: "notice", text: `${broken.count} of ${images.length} images were broken and left out` };
  return {
    finished,
    updates: update,
    ...(config.precision === "f16" ? { skippedUpdates: skipped } : {}),
    model: training.handOut(),
  };
}

/** What one update gave. */
interface PretrainUpdate {
  readonly loss: number;
  readonly gradientNorm: number;
  readonly lossScale?: LossScale;
}

/** Drops the lines of updates that will be made again. */
async function keepMetrics(store: RunStore, updates: number): Promise<void> {
  const lines = ((await store.readText("metrics.jsonl")) ?? "").split("\n").filter((line) => line.endsWith("}"));
  await store.writeText(
    "metrics.jsonl",
    lines
      .slice(0, updates)
      .map((line) => `${line}\n`)
      .join(""),
  );
}

class Training {
  readonly resizeTo: number;
  readonly updatesPerEpoch: number;
  readonly schedule: Schedule;
  readonly #encoder: ArenaOptimizer;
  readonly #decoder: ArenaOptimizer;
  /** With precision f16. */
  readonly #lossScaling: LossScaling | undefined;
  readonly #inputs: ViewInputs;
  readonly #step: ReturnType<Training["record"]>;
  #isHandedOut = false;

  private constructor(
    readonly model: MaskedAutoencoder,
    readonly config: PretrainConfig,
    images: number,
    imageBytes: number,
  ) {
    const { channels } = model.encoder.config;
    this.resizeTo = resizeBound(config);
    this.updatesPerEpoch = Math.floor(images / config.batch);
    if (this.updatesPerEpoch < 1) {
      throw new EngineError(
        `pretrain: ${images} images are less than one batch of ${config.batch}; use a batch of at most ${images}`,
      );
    }
    this.schedule = {
      peak: peakLearningRate(config.learningRate, config.batch),
      warmupUpdates: Math.round(config.warmup * this.updatesPerEpoch),
      totalUpdates: Math.round(config.epochs * this.updatesPerEpoch),
      end: config.endLearningRate,
    };
    this.#encoder = new ArenaOptimizer(model.encoder.parameters, { weightDecay: config.weightDecay });
    this.#decoder = new ArenaOptimizer(model.decoderParameters, { weightDecay: config.weightDecay });
    this.#lossScaling = config.precision === "f16" ? new LossScaling(model.device) : undefined;
    this.#lossScaling?.reset({ beta1: config.beta1, beta2: config.beta2 });
    const view = { ...plainView, area: config.area, ratio: [3 / 4, 4 / 3] as const, flip: config.flip };
    const views = {
      ...viewDefaults(channels === 1 ? 1 : 3),
      global: { heightPixels: config.pixels, widthPixels: config.pixels, views: [view] },
    };
    this.#inputs = new ViewInputs(views, config.batch, config.batch * imageBytes);
    this.#step = this.record();
  }

  static async prepare({ device, config, encoder: given }: PretrainOptions, images: ImageSource): Promise<Training> {
    const vit = pretrainModel(config, images.channels);
    const encoder = given ?? new VisionTransformer(device, vit);
    const decoder = { width: config.decoderWidth, blocks: config.decoderBlocks, heads: config.decoderHeads };
    const model = new MaskedAutoencoder(encoder, decoder);
    if (!given) initializeParameters(encoder.parameters, vitParameters(vit), config.seed);
    initializeParameters(model.decoderParameters, maeDecoderParameters(vit, decoder), config.seed);
    model.writeSincosPositions();
    return new Training(model, config, images.length, bytesPerImage(images, resizeBound(config)));
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

  async run(batch: ImageBatch, update: number, epoch: number): Promise<PretrainUpdate> {
    const { config } = this;
    const { patches } = this.#counts();
    const noise = hostUniform(config.batch * patches, { seed: config.seed, purpose: "mask", step: update });
    const { kept: _, ...mask } = maskFromNoise(noise, patches, config.maskRatio);
    const scalars = stepScalars({
      learningRate: learningRateAt(this.schedule, update),
      step: update + 1,
      beta1: config.beta1,
      beta2: config.beta2,
    });
    const inputs = { ...this.#inputs.values(batch, 0, config.seed, epoch), ...mask, scalars };
    const names = ["loss", "norm", ...(this.#lossScaling ? ["lossScale"] : [])];
    const { loss, norm, lossScale } = await (await this.#step.run(inputs, names)).read();
    return {
      loss: loss?.[0] ?? Number.NaN,
      gradientNorm: norm?.[0] ?? Number.NaN,
      ...(lossScale ? { lossScale: readLossScale(lossScale) } : {}),
    };
  }

  /** Updates skipped so far. */
  async skippedUpdates(): Promise<number> {
    return (await this.#lossScaling?.read())?.skipped ?? 0;
  }

  get state(): RunState {
    return {
      arenas: {
        "encoder.": this.model.encoder.parameters,
        "decoder.": this.model.decoderParameters,
        "optimizer.encoder.m.": this.#encoder.firstMoment,
        "optimizer.encoder.v.": this.#encoder.secondMoment,
        "optimizer.decoder.m.": this.#decoder.firstMoment,
        "optimizer.decoder.v.": this.#decoder.secondMoment,
      },
      tensors: this.#lossScaling ? { "optimizer.lossScale": this.#lossScaling.state } : {},
    };
  }

  /** The model, which the caller keeps from now on. */
  handOut(): MaskedAutoencoder {
    this.#isHandedOut = true;
    return this.model;
  }

  /** Frees what the caller was not given, and did not give. */
  destroy(given: VisionTransformer | undefined): void {
    this.#step.destroy();
    this.#encoder.destroy();
    this.#decoder.destroy();
    this.#lossScaling?.destroy();
    if (this.#isHandedOut) return;
    this.model.destroyDecoder();
    if (!given) this.model.encoder.destroy();
  }
}

function resizeBound(config: PretrainConfig): number {
  return config.resizeTo || 2 * config.pixels;
}
