import type { Device, Outputs, RecordedProgram } from "../../../engine/index.ts";
import type { ImageBatch } from "../../data/batches/batches.ts";
import type { LabelRules } from "../../data/masks/mask_labels.ts";
import type { LabelledImageSource } from "../../data/masks/mask_source.ts";
import { CollapseError } from "../../training/collapse_error.ts";
import type { RunCheckpointMetadata, RunState } from "../../training/run_state.ts";
import type { RunStore } from "../../training/run_store.ts";
import { peakLearningRate } from "../../training/schedule.ts";
import type {
  EvaluationMoment,
  TrainingMethod,
  TrainingStage,
  UpdateCost,
  UpdateHeader,
  UpdatePlace,
} from "../../training/training_method.ts";
import { lossSummary, type ProbeUpdate, probeRateAt, requireBatch } from "../probes/linear_probe_method.ts";
import { saveProbeHead } from "../probes/probe_head_file.ts";
import type { ProbeHeads } from "../probes/probe_heads.ts";
import type { Cropper } from "./cropped_pixels.ts";
import { intersectionScores } from "./intersection.ts";
import { type PatchBatch, patchLoss, patchTargets } from "./patch_loss.ts";
import type { SegmentationConfig } from "./segmentation_config.ts";
import { encodedPatches, type SegmentationView } from "./segmentation_encoder.ts";
import { bestSegmentation, type SegmentationScores, segmentationScoresSchema } from "./segmentation_scores.ts";
import { trainingCrops } from "./training_crops.ts";
import { WindowTest, type WindowTestOptions } from "./window_test.ts";

/** What a segmentation probe trains on and is judged by. */
export interface SegmentationData {
  /** Without what is held out. */
  readonly train: LabelledImageSource;
  readonly heldOut?: LabelledImageSource | undefined;
  readonly test: LabelledImageSource;
  readonly rules: LabelRules;
  /** Default: the calling thread. */
  readonly cropper?: Cropper | undefined;
}

export type SegmentationEvent =
  | { readonly kind: "start"; readonly updates: number; readonly images: number }
  | ({ readonly kind: "update"; readonly stage: 1 } & UpdateHeader & ProbeUpdate & UpdateCost)
  | SegmentationScores;

/** The segmentation probe as a method of training, in one stage: a grid of linear heads on the patches of a frozen encoder. */
export class SegmentationMethod implements TrainingMethod<ProbeUpdate, SegmentationEvent> {
  readonly name = "segmentation probe";
  readonly updatesInFlight = 1;
  readonly scaled = undefined;
  readonly needsEvaluations = true;
  readonly stages: readonly TrainingStage[];
  /** Scores by epoch. */
  readonly scores = new Map<number, SegmentationScores>();
  readonly #batch: PatchBatch;
  readonly #step: RecordedProgram<Outputs>;
  readonly #test: WindowTest;

  constructor(
    readonly view: SegmentationView,
    readonly heads: ProbeHeads,
    readonly config: SegmentationConfig,
    readonly data: SegmentationData,
    readonly store: RunStore,
    readonly testing: Omit<WindowTestOptions, "onImage">,
  ) {
    const images = data.train.images.length;
    requireBatch("segmentation probe", images, config.batch);
    const updatesPerEpoch = Math.floor(images / config.batch);
    const updates = config.epochs * updatesPerEpoch;
    this.stages = [{ stage: 1, updates, updatesPerEpoch, evaluateEvery: config.testEvery }];
    const { rows, columns } = view;
    this.#batch = { images: config.batch, rows, columns, classes: heads.classes, rates: heads.grid.rates.length };
    this.#step = heads.recordUpdate(config.batch * rows * columns, {
      source: (program) => encodedPatches(program, view, config.batch),
      loss: (program) => patchLoss(program, this.#batch),
    });
    this.#test = new WindowTest(view, heads);
  }

  get device(): Device {
    return this.heads.device;
  }

  /** What updates and tests take on the device, from the plan. */
  get plannedBytes(): number {
    const { stateBytes, plannedPeakBytes, inputBytes } = this.#step.stats;
    return stateBytes + plannedPeakBytes + inputBytes + this.#test.plannedBytes;
  }

  startEvent(run: { readonly updates: number; readonly images: number }): SegmentationEvent {
    return { kind: "start", ...run };
  }

  async initialize(): Promise<void> {
    this.heads.initialise(this.config.seed);
  }

  async beginStage(): Promise<void> {}

  async run(batch: ImageBatch, place: UpdatePlace): Promise<{ readonly result: Promise<ProbeUpdate> }> {
    const { config, data, view } = this;
    const { seed } = config;
    const moment = { seed, epoch: place.epoch };
    const crops = await trainingCrops(batch, data.train.masks, data.rules, view, moment, data.cropper);
    const [{ updates } = { updates: 0 }] = this.stages;
    const peaks = this.heads.grid.rates.map((rate) => peakLearningRate(rate, config.batch));
    const inputs = {
      images: crops.images,
      ...patchTargets(crops.labels, this.#batch),
      rates: Float32Array.from(peaks, (peak) => probeRateAt(peak, updates, place.update)),
    };
    const names = Object.keys(this.#step.outputs);
    const readback = await this.#step.run(inputs, names);
    return {
      result: readback.read().then((losses) => lossSummary(names.flatMap((name) => [...(losses[name] ?? [])]))),
    };
  }

  updateEvent(_: TrainingStage, header: UpdateHeader, result: ProbeUpdate, cost: UpdateCost): SegmentationEvent {
    return { kind: "update", stage: 1, ...header, ...result, ...cost };
  }

  check(update: number, { diverged }: ProbeUpdate): void {
    const { heads } = this.heads.grid;
    if (diverged < heads.length) return;
    throw new CollapseError(
      `segmentation probe: the losses of all ${heads.length} heads are not finite at update ${update}; give lower --rates, or look whether the encoder's features are finite`,
    );
  }

  state(): RunState {
    return { arenas: {}, tensors: this.heads.tensors };
  }

  checkpointMetadata(_: TrainingStage, { update }: { readonly update: number }): RunCheckpointMetadata {
    return { stage: "1", update: String(update) };
  }

  async evaluate(moment: EvaluationMoment<TrainingStage>): Promise<SegmentationScores | undefined> {
    if (moment.at === "beginning" || moment.at === "end" || this.scores.has(moment.epoch)) return undefined;
    const { heldOut, test } = this.data;
    const scores: SegmentationScores = {
      kind: "segmentation",
      stage: 1,
      epoch: moment.epoch,
      ...(heldOut ? { heldOut: await this.#means(heldOut) } : {}),
      test: await this.#means(test),
    };
    await this.#take(scores);
    return scores;
  }

  recall(line: unknown): void {
    const { data } = segmentationScoresSchema.safeParse(line);
    if (data) this.scores.set(data.epoch, data);
  }

  /** Keeps the weights of the best head as soon as it is known: later updates change them. */
  async #take(scores: SegmentationScores): Promise<void> {
    this.scores.set(scores.epoch, scores);
    const best = bestSegmentation([...this.scores.values()], this.config.select);
    const { grid } = this.heads;
    const head = best && grid.heads[best.head];
    if (!head || best.epoch !== scores.epoch) return;
    const which = { head: head.name, epoch: best.epoch };
    const feature = grid.features[head.feature]?.name ?? "";
    await saveProbeHead(this.store, await this.heads.trained(head), which, { protocol: this.name, feature });
  }

  async #means(set: LabelledImageSource): Promise<number[]> {
    const tables = await this.#test.tables(set, this.testing);
    return tables.map((table) => intersectionScores(table).mean);
  }

  /** Nothing: the best head is written as soon as it is known. */
  async writeResult(): Promise<void> {}

  /** Frees programs and heads. */
  destroy(): void {
    this.#step.destroy();
    this.#test.destroy();
    this.heads.destroy();
  }
}
