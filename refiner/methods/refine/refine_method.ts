import { z } from "zod";
import { type Arena, type Device, DeviceLostError } from "../../../engine/index.ts";
import { saveEncoder, VisionTransformer } from "../../../models/index.ts";
import type { ImageBatch, ImageSource } from "../../data/index.ts";
import { bytesPerImage } from "../../data/views/view_inputs.ts";
import { type Exchange, oneRank, ownerOf } from "../../exchange/exchange.ts";
import { HostArena } from "../../training/offload/host_arena.ts";
import type { RunCheckpointMetadata, RunState } from "../../training/run_state.ts";
import type { RunStore } from "../../training/run_store.ts";
import type {
  EvaluationMoment,
  ScaledUpdates,
  TrainingMethod,
  UpdateCost,
  UpdateHeader,
  UpdatePlace,
} from "../../training/training_method.ts";
import { checkRefinement } from "./check_refinement.ts";
import { HealthMonitor } from "./health.ts";
import { adviceForFewUpdates } from "./planning/few_updates.ts";
import type { RefineConfig } from "./refine_config.ts";
import type { EvaluatedWeights, KnnOfRun, RefineEvent } from "./refine_events.ts";
import { decodedSide } from "./refine_views.ts";
import { RefinerModel } from "./refiner_model.ts";
import { Stage, type UpdateResult } from "./stage.ts";
import { planStage, type StagePlan } from "./stage_plan.ts";
import { wholeState } from "./whole_state.ts";

/** k-NN accuracy per block, first to last. */
export type KnnEvaluation = (encoder: VisionTransformer) => Promise<readonly number[]>;

/** The weights and the place in the results that an evaluation is made for. */
interface Evaluation {
  readonly stage: 1 | 2 | 3;
  readonly weights: EvaluatedWeights;
  readonly slot?: keyof KnnOfRun;
}

/** MIM-Refiner (arXiv 2402.10093) as a method of training: heads and their queues, a moving average, and one stage at a time. */
export class RefineMethod implements TrainingMethod<UpdateResult, RefineEvent, StagePlan> {
  readonly name = "refine";
  readonly updatesInFlight: number;
  readonly stages: readonly StagePlan[];
  /** The moving average of the encoder. */
  readonly ema: VisionTransformer;
  readonly knn: { -readonly [slot in keyof KnnOfRun]: KnnOfRun[slot] } = {};
  readonly #model: RefinerModel;
  readonly #average: Arena;
  /** Set while the average lies on the host: its arena on the device takes no memory then. */
  #hostAverage: HostArena | undefined;
  /** Set once the training has ended, where the encoder's weights lie on the host. */
  #masters: HostArena | undefined;
  readonly #health: HealthMonitor;
  readonly #imageBytes: number;
  #stage: Stage | undefined;
  #isHandedOut = false;

  /** @throws OptionError, MissingFeatureError */
  constructor(
    readonly encoder: VisionTransformer,
    readonly config: RefineConfig,
    images: ImageSource,
    readonly evaluateKnn: KnnEvaluation | undefined,
    readonly exchange: Exchange = oneRank,
  ) {
    // Several ranks meet within an update, and once more for its numbers: another one may not begin before.
    this.updatesInFlight = exchange.size > 1 ? 0 : 1;
    if (config.precision === "f16") this.device.requireFeature("refine: precision f16", "shader-f16");
    checkRefinement(config, images, encoder, exchange.size);
    const { projectorWidth, predictorWidth, outputWidth, queueLength } = config;
    this.#model = new RefinerModel(encoder, {
      placements: config.heads,
      pooling: config.pooling,
      owned: (head) => ownerOf(head, config.heads.length, exchange.size) === exchange.rank,
      head: { inputWidth: encoder.config.width, projectorWidth, predictorWidth, outputWidth, queueLength },
    });
    this.#imageBytes = bytesPerImage(images, decodedSide(config, encoder.config));
    this.#health = new HealthMonitor(config.batch, config.precision);
    this.#average = encoder.parameters.like("ema");
    if (config.offload.includes("average")) this.#hostAverage = new HostArena(this.#average, "ema");
    this.ema = new VisionTransformer(this.device, encoder.config, this.#average, encoder.positions);
    this.stages = ([2, 3] as const)
      .map((stage) => planStage(config, stage, images.length))
      .filter((plan) => plan.updates > 0);
  }

  get device(): Device {
    return this.encoder.device;
  }

  /** Records the programs of all stages without running them. */
  recordStages(): void {
    for (const plan of this.stages) this.#newStage(plan).destroy();
  }

  #newStage(plan: StagePlan): Stage {
    const average = this.#hostAverage ?? this.#average;
    return new Stage(this.#model, this.config, plan, this.#imageBytes, average, undefined, this.exchange);
  }

  startEvent(run: { readonly updates: number; readonly images: number }): RefineEvent {
    const fewUpdates = adviceForFewUpdates(this.config, run.images);
    return { kind: "start", ...run, ...(fewUpdates ? { fewUpdates } : {}) };
  }

  async initialize(): Promise<void> {
    this.#model.initializeHeads(this.config.seed);
    if (this.#hostAverage) return this.#hostAverage.load(this.encoder.parameters);
    for (const [name, tensor] of this.encoder.parameters.tensors)
      this.device.write(this.#average.get(name), await tensor.read());
  }

  async beginStage(plan: StagePlan, update: number): Promise<void> {
    this.#stage?.destroy();
    this.#stage = this.#newStage(plan);
    await this.#stage.begin();
    this.#stage.reset(update);
    const { part, isReduced } = this.#stage;
    if (isReduced)
      this.device.notice(
        `stage ${plan.stage}: the batch of ${this.config.batch} is over the limits of ${this.device.info.name} and is encoded in micro-batches of ${part}; the result is the same`,
      );
    if (update === 0) await this.#stage.teacher?.reset();
  }

  get scaled(): ScaledUpdates | undefined {
    const scaling = this.#stage?.encoder?.lossScaling;
    return scaling && { scaling, one: "the encoder's update", many: "updates of the encoder" };
  }

  run(batch: ImageBatch, place: UpdatePlace): Promise<{ readonly result: Promise<UpdateResult> }> {
    if (!this.#stage) throw new Error("refine: no stage was begun");
    return this.#stage.run(batch, place);
  }

  updateEvent({ stage }: StagePlan, header: UpdateHeader, result: UpdateResult, cost: UpdateCost): RefineEvent {
    return { kind: "update", stage, ...header, ...cost, ...result };
  }

  check(update: number, result: UpdateResult): void {
    this.#health.check(update, result);
  }

  state(): RunState {
    const model = this.#model;
    const stage = this.#stage;
    const state = {
      arenas: {
        "encoder.": stage?.weights?.masters ?? this.encoder.parameters,
        "ema.": this.#hostAverage ?? this.#average,
        "heads.": model.headParameters,
        "statistics.": model.headStatistics,
        "counters.": model.headCounters,
        ...stage?.arenas,
      },
      tensors: Object.fromEntries(
        model.heads.flatMap(({ queue }, i) =>
          Object.entries(queue.state).map(([name, tensor]) => [`${model.names[i]}.${name}`, tensor]),
        ),
      ),
      ...(stage ? { lossScale: stage.lossScale } : {}),
    };
    return this.exchange.size === 1 ? state : { ...state, whole: wholeState(state, model, this.exchange.size) };
  }

  programs(): Stage["programs"] {
    return this.#stage?.programs ?? [];
  }

  /** The stage that was begun. */
  get stage(): Stage | undefined {
    return this.#stage;
  }

  checkpointMetadata({ stage }: StagePlan, done: { update: number; total: number }): RunCheckpointMetadata {
    return { stage: String(stage), update: String(done.update), updates: String(done.total) };
  }

  async evaluate(moment: EvaluationMoment<StagePlan>): Promise<RefineEvent | undefined> {
    const due = evaluationAt(moment);
    if (!due || !this.evaluateKnn) return undefined;
    const { stage, weights, slot } = due;
    const accuracy = await (weights === "ema"
      ? this.#evaluateAverage(this.evaluateKnn)
      : this.evaluateKnn(this.encoder));
    if (slot) this.knn[slot] = accuracy;
    return { kind: "knn", stage, epoch: moment.epoch, weights, k: this.config.k, accuracy };
  }

  /** An average on the host is measured in the place of the encoder's weights: beside them there may be no room for it. */
  async #evaluateAverage(evaluate: KnnEvaluation): Promise<readonly number[]> {
    const average = this.#hostAverage;
    if (!average) return evaluate(this.ema);
    const { parameters } = this.encoder;
    if (this.#stage?.weights) {
      this.#stage.release();
      await average.store(parameters);
      return evaluate(this.encoder).finally(() => parameters.destroy());
    }
    const weights = new HostArena(parameters, "weights during an evaluation");
    await weights.load(parameters);
    await average.store(parameters);
    try {
      return await evaluate(this.encoder);
    } finally {
      await weights.store(parameters);
    }
  }

  /** Brings an average on the host back to the device, where the training makes room for it. */
  async #endTraining(): Promise<void> {
    const average = this.#hostAverage;
    const masters = this.#stage?.weights?.masters;
    if (!average && !masters) return;
    this.#masters = masters ?? this.#masters;
    this.#stage?.destroy();
    this.#stage = undefined;
    if (!average) return;
    await average.store(this.#average);
    this.#hostAverage = undefined;
    average.destroy();
  }

  recall(line: unknown): void {
    const { data } = knnLine.safeParse(line);
    if (data) this.knn[data.stage === 1 ? "before" : "afterStage2"] = data.accuracy;
  }

  async writeResult(store: RunStore): Promise<void> {
    await this.#endTraining();
    const metadata = { source: "moving average of the encoder", method: "MIM-Refiner (arXiv 2402.10093)" };
    await store.write("encoder.safetensors", (sink) => saveEncoder(sink, this.ema, metadata));
  }

  /** Brings the encoder's weights back to the device, in the place of the heads, if they lie on the host. @throws DeviceLostError */
  async #giveBack(): Promise<void> {
    const masters = this.#stage?.weights?.masters ?? this.#masters;
    if (!masters) return;
    this.#stage?.destroy();
    this.#stage = undefined;
    this.#masters = undefined;
    this.#model.destroy();
    await masters.store(this.encoder.parameters);
    masters.destroy();
  }

  /** The moving average, which the caller keeps from now on. */
  async handOut(): Promise<VisionTransformer> {
    await this.#endTraining();
    await this.#giveBack();
    this.#isHandedOut = true;
    return this.ema;
  }

  /** Frees what the caller was not given, and leaves the encoder with its weights, however the training ended. */
  async close(): Promise<void> {
    try {
      await this.#giveBack();
    } catch (error) {
      if (!(error instanceof DeviceLostError)) throw error; // a lost device has nothing left that weights could be given to
    } finally {
      this.#destroy();
    }
  }

  #destroy(): void {
    this.#stage?.destroy();
    this.#model.destroy();
    if (!this.#isHandedOut) this.#average.destroy();
  }
}

/** Evaluations before, and after stage 2, are part of a run's result. */
const knnLine = z.object({ stage: z.union([z.literal(1), z.literal(2)]), accuracy: z.array(z.number()) });

/** Before, after stage 2, on the way through stage 3, and in the end: encoder first, then its moving average. */
function evaluationAt(moment: EvaluationMoment<StagePlan>): Evaluation | undefined {
  if (moment.at === "beginning") return { stage: 1, weights: "encoder", slot: "before" };
  const { stage } = moment.stage;
  if (moment.at === "epoch") return { stage, weights: "ema" };
  if (moment.at === "end") return { stage, weights: "ema", slot: "after" };
  return stage === 2 ? { stage, weights: "encoder", slot: "afterStage2" } : undefined;
}
