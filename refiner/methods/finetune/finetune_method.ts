import { z } from "zod";
import { type Device, EngineError, OptionError, readLossScale, stepScalars } from "../../../engine/index.ts";
import {
  Classifier,
  type ClassifierDescription,
  classifierParameters,
  initializeParameters,
  saveClassifier,
  type VisionTransformer,
} from "../../../models/index.ts";
import { drawMixing, mixingValues } from "../../data/augmentation/mixing.ts";
import type { ImageBatch } from "../../data/index.ts";
import { ViewInputs } from "../../data/views/view_inputs.ts";
import { requireFiniteLoss } from "../../training/collapse_error.ts";
import { LossScaling } from "../../training/loss_scaling.ts";
import { ArenaOptimizer } from "../../training/optimizer.ts";
import type { RunCheckpointMetadata, RunState } from "../../training/run_state.ts";
import type { RunStore } from "../../training/run_store.ts";
import type {
  EvaluationMoment,
  ScaledUpdates,
  TrainingMethod,
  TrainingStage,
  UpdateCost,
  UpdateHeader,
  UpdatePlace,
} from "../../training/training_method.ts";
import { pairedOrder, reordered } from "./batch_order.ts";
import { DropPath, tableColumns } from "./drop_path.ts";
import { type FinetuneConfig, mixesPairs } from "./finetune_config.ts";
import { finetuneCut, planFinetune } from "./finetune_cut.ts";
import type { EpochAccuracy, FinetuneEvent, FinetuneUpdate, TestAccuracy } from "./finetune_events.ts";
import { FinetuneStep, type HostInputs, type StepPlan } from "./finetune_step.ts";
import { finetuneViews, imagePixels } from "./finetune_views.ts";
import { type FinetuneRules, finetuneGroups, finetuneRates } from "./parameter_groups.ts";

/** Accuracy of a classifier on test images. */
export type AccuracyTest = (model: Classifier) => Promise<TestAccuracy>;

/** What a fine-tuning is prepared for. */
export interface FinetuneTask {
  /** Number of training images. */
  readonly images: number;
  /** Room for one decoded image. */
  readonly imageBytes: number;
  readonly classNames: readonly string[];
  readonly test?: AccuracyTest | undefined;
  /** Default `fine-tuning`. */
  readonly rules?: FinetuneRules | undefined;
}

/** Supervised fine-tuning of a whole encoder (arXiv 2111.06377, § 5 and table 9; arXiv 2402.10093, appendix B), in one stage. */
export class FinetuneMethod implements TrainingMethod<FinetuneUpdate, FinetuneEvent> {
  readonly name = "finetune";
  readonly updatesInFlight = 1;
  readonly stages: readonly TrainingStage[];
  readonly model: Classifier;
  /** What is tested and written: the moving average where there is one. */
  readonly result: Classifier;
  /** Of this run and of what it went on from, in order. */
  readonly tests: EpochAccuracy[] = [];
  readonly #rules: FinetuneRules;
  readonly #rateAt: (update: number) => number;
  readonly #optimizer: ArenaOptimizer;
  readonly #lossScaling: LossScaling | undefined;
  readonly #dropPath: DropPath;
  readonly #order: Uint32Array;
  /** By the number of images: the whole batch, or the micro-batch and a smaller last one. */
  readonly #inputs = new Map<number, ViewInputs>();
  readonly #step: FinetuneStep;
  #isHandedOut = false;

  /** @param encoder - what the classifier is to begin as; its weights are copied by `initialize` */
  constructor(
    readonly encoder: VisionTransformer,
    readonly config: FinetuneConfig,
    readonly task: FinetuneTask,
  ) {
    const { device } = encoder;
    if (config.precision === "f16") device.requireFeature("finetune: precision f16", "shader-f16");
    const stage = planFinetune(config, task.images);
    this.stages = [stage];
    this.#rules = task.rules ?? "fine-tuning";
    this.#rateAt = finetuneRates(config, stage, this.#rules);
    const vit = encoder.config;
    const views = finetuneViews(config, vit);
    const description: ClassifierDescription = {
      classNames: task.classNames,
      pooling: config.pooling,
      pixels: imagePixels(config, vit),
      mean: views.mean,
      deviation: views.deviation,
      ...(this.#rules === "vtab" ? { headNorm: false } : {}),
    };
    this.model = new Classifier(device, vit, description);
    this.result =
      config.ema > 0
        ? new Classifier(device, vit, description, this.model.parameters.like("moving average"))
        : this.model;
    const { layerDecay, weightDecay, frozenShare } = config;
    const groups = finetuneGroups(this.model, { layerDecay, weightDecay, frozenShare, protocol: this.#rules });
    this.#optimizer = new ArenaOptimizer(this.model.parameters, groups);
    this.#lossScaling = config.precision === "f16" ? new LossScaling(device) : undefined;
    const { batch } = config;
    const mixes = mixesPairs(config);
    const { part, fixed } = finetuneCut(config, this.#optimizer);
    this.#order = mixes ? pairedOrder(batch, part) : Uint32Array.from({ length: batch }, (_, place) => place);
    this.#dropPath = new DropPath(config.dropPath, vit.blocks, batch, config.dropPathCount);
    for (const size of [part, batch % part])
      if (size > 0) this.#inputs.set(size, new ViewInputs(views, size, size * task.imageBytes));
    this.#step = new FinetuneStep({
      model: this.model,
      batch,
      part,
      views: (program, images) => {
        const [view] = this.#inputsFor(images).record(program);
        if (!view) throw new EngineError("finetune: the views recorded nothing");
        return view;
      },
      mixes,
      labelSmoothing: config.labelSmoothing,
      dropPath: this.#dropPath,
      recompute: config.recompute,
      precision: config.precision,
      optimizer: this.#optimizer,
      average: config.ema > 0 ? this.result.parameters : undefined,
      lossScaling: this.#lossScaling,
      ...(fixed ? { fixed } : {}),
    });
  }

  get device(): Device {
    return this.encoder.device;
  }

  #inputsFor(images: number): ViewInputs {
    const inputs = this.#inputs.get(images);
    if (!inputs) throw new EngineError(`finetune: no views were planned for ${images} images`);
    return inputs;
  }

  /** Planned device memory and work of one update, without allocating. */
  get plan(): StepPlan {
    return this.#step.plan;
  }

  /** Learning-rate factor and weight decay of each parameter. */
  get groups(): ArenaOptimizer["groups"] {
    return this.#optimizer.groups;
  }

  /** Of the parameters that are trained. */
  get trainedBytes(): number {
    return this.#optimizer.gradients.sizeBytes;
  }

  startEvent(run: { readonly updates: number; readonly images: number }): FinetuneEvent {
    return { kind: "start", ...run };
  }

  async initialize(): Promise<void> {
    const { model, encoder, config } = this;
    const all = classifierParameters(model.config, this.task.classNames.length, model.description);
    const heads = all.filter(({ name }) => !encoder.parameters.has(name));
    initializeParameters(model.parameters, heads, config.seed);
    await model.copyEncoder(encoder);
    if (this.result === model) return;
    for (const [name, tensor] of model.parameters.tensors)
      this.device.write(this.result.parameters.get(name), await tensor.read());
  }

  async beginStage(_: TrainingStage, updates: number): Promise<void> {
    const { beta1, beta2 } = this.config;
    this.#lossScaling?.reset({ updates, beta1, beta2 });
  }

  get scaled(): ScaledUpdates | undefined {
    return this.#lossScaling && { scaling: this.#lossScaling, one: "the update", many: "updates" };
  }

  async run(given: ImageBatch, { update, epoch }: UpdatePlace): Promise<{ readonly result: Promise<FinetuneUpdate> }> {
    const { config } = this;
    const { seed, beta1, beta2, adamEpsilon: epsilon } = config;
    const batch = reordered(given, this.#order);
    const learningRate = this.#rateAt(update);
    const readback = await this.#step.run({
      parts: this.#partsOf(batch, { seed, update, epoch }),
      scalars: stepScalars({ learningRate, step: update + 1, beta1, beta2, epsilon, averageFactor: config.ema }),
    });
    const result = readback.read().then(({ loss, norm, lossScale }) => ({
      loss: loss?.[0] ?? Number.NaN,
      learningRate,
      gradientNorm: norm?.[0] ?? Number.NaN,
      ...(lossScale ? { lossScale: readLossScale(lossScale) } : {}),
    }));
    return { result };
  }

  #partsOf(
    batch: ImageBatch,
    { seed, update, epoch }: { readonly seed: number; readonly update: number; readonly epoch: number },
  ): (first: number, count: number) => HostInputs {
    const { config, model } = this;
    const { pixels } = model.description;
    const options = { mixupAlpha: config.mixup, cutmixAlpha: config.cutmix };
    const mixing = mixingValues(drawMixing(options, [pixels, pixels], { seed, step: update }));
    const factors = this.#dropPath.draw({ seed, step: update }, this.#order);
    const labels = this.#labelsOf(batch);
    return (first, count) => ({
      ...this.#inputsFor(count).values(batch, first, seed, epoch),
      labels: labels.subarray(first, first + count),
      mixing,
      ...(factors.length > 0 ? { dropPath: tableColumns(factors, config.batch, first, count) } : {}),
    });
  }

  #labelsOf({ labels, indices }: ImageBatch): Uint32Array {
    const classes = this.task.classNames.length;
    const at = labels.findIndex((label) => label < 0 || label >= classes);
    if (at < 0) return Uint32Array.from(labels);
    throw new OptionError(
      `finetune: image ${indices[at]} has ${labels[at] === -1 ? "no label" : `label ${labels[at]}`}, expected 0 … ${classes - 1}; leave out images without one`,
    );
  }

  updateEvent(_: TrainingStage, header: UpdateHeader, result: FinetuneUpdate, cost: UpdateCost): FinetuneEvent {
    return { kind: "update", stage: 1, ...header, ...result, ...cost };
  }

  check(update: number, result: FinetuneUpdate): void {
    requireFiniteLoss("finetune", update, result, this.config.precision);
  }

  state(): RunState {
    return {
      arenas: {
        "classifier.": this.model.parameters,
        "optimizer.m.": this.#optimizer.firstMoment,
        "optimizer.v.": this.#optimizer.secondMoment,
        ...(this.result === this.model ? {} : { "ema.": this.result.parameters }),
      },
      tensors: {},
      ...(this.#lossScaling ? { lossScale: { "optimizer.lossScale": this.#lossScaling.state } } : {}),
    };
  }

  programs(): FinetuneStep["programs"] {
    return this.#step.programs;
  }

  checkpointMetadata(_: TrainingStage, { update }: { readonly update: number }): RunCheckpointMetadata {
    return { stage: "1", update: String(update) };
  }

  /** Of VTAB-1k the number is the result. */
  get needsEvaluations(): boolean {
    return this.#rules === "vtab";
  }

  async evaluate({ at, epoch }: EvaluationMoment<TrainingStage>): Promise<FinetuneEvent | undefined> {
    if (!this.task.test || (at !== "epoch" && at !== "end")) return undefined;
    const test = { epoch, ...(await this.task.test(this.result)) };
    this.tests.push(test);
    return { kind: "test", stage: 1, ...test };
  }

  recall(line: unknown): void {
    const { data } = testLine.safeParse(line);
    if (data) this.tests.push(data);
  }

  async writeResult(store: RunStore): Promise<void> {
    if (this.#rules === "vtab") return; // the number is the result
    const { ema, epochs } = this.config;
    const method = `fine-tuning of ${epochs} epochs${ema > 0 ? ", moving average" : ""}`;
    await store.write("classifier.safetensors", (sink) => saveClassifier(sink, this.result, { method }));
  }

  /** The classifier, which the caller keeps from now on. */
  handOut(): Classifier {
    this.#isHandedOut = true;
    return this.result;
  }

  /** Frees what the caller was not given. */
  destroy(): void {
    this.#step.destroy();
    this.#optimizer.destroy();
    this.#lossScaling?.destroy();
    if (this.result !== this.model) this.model.destroy();
    if (!this.#isHandedOut) this.result.destroy();
  }
}

const testLine = z.object({ kind: z.literal("test"), epoch: z.number(), accuracy: z.number(), images: z.number() });
