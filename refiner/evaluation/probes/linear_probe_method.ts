import type { Device, Outputs, RecordedProgram } from "../../../engine/index.ts";
import type { ImageBatch } from "../../data/batches/batches.ts";
import { CollapseError } from "../../training/collapse_error.ts";
import type { RunCheckpointMetadata, RunState } from "../../training/run_state.ts";
import type { RunStore } from "../../training/run_store.ts";
import { learningRateAt, peakLearningRate } from "../../training/schedule.ts";
import type {
  EvaluationMoment,
  TrainingMethod,
  TrainingStage,
  UpdateCost,
  UpdateHeader,
  UpdatePlace,
} from "../../training/training_method.ts";
import { EvaluationError } from "../core/errors.ts";
import type { LinearProbeConfig } from "./probe_config.ts";
import { splitHeads } from "./probe_grid.ts";
import { saveProbeHead } from "./probe_head_file.ts";
import type { ProbeHeads } from "./probe_heads.ts";
import type { ProbeRowSet, SourceRows } from "./probe_rows.ts";
import { correctPerHead, type ProbeScores, ProbeSelection, probeScoresSchema } from "./probe_scores.ts";

/** Share of the updates that the rate rises in. */
const warmupShare = 0.1;
const endRate = 1e-6;
/** Rows that the heads are asked about at a time. */
const rowsPerRun = 256;

/**
 * Learning rate of an update of a linear probe: a warm-up of floor(0.1 · (updates - 1)) updates, then a cosine to 1e-6
 * (KappaSchedules, as the authors use it).
 *
 * @param peak - base rate · batch / 256
 */
export function probeRateAt(peak: number, updates: number, update: number): number {
  const warmupUpdates = Math.floor(warmupShare * (updates - 1));
  return learningRateAt({ peak, warmupUpdates, totalUpdates: updates, end: endRate }, update);
}

/** @throws EvaluationError if the images are less than one batch */
export function requireBatch(probe: "linear probe" | "segmentation probe", images: number, batch: number): void {
  if (images >= batch) return;
  throw new EvaluationError(
    `${probe}: ${images} training images are less than one batch of ${batch}; use a batch of at most ${images}`,
  );
}

/** Features with the class of each row. */
export interface LabelledRows {
  readonly rows: ProbeRowSet;
  readonly labels: Uint32Array;
}

/** What a linear probe trains on and is judged by. */
export interface ProbeData {
  /** Training images that are not held out. */
  readonly images: number;
  /** Features of a batch of them. */
  readonly featuresOf: (batch: ImageBatch, place: UpdatePlace) => Promise<SourceRows>;
  readonly heldOut?: LabelledRows | undefined;
  readonly test: LabelledRows;
}

/** The numbers of an update. */
export interface ProbeUpdate {
  /** Mean loss over the heads whose loss is finite. */
  readonly loss: number;
  /** Heads whose loss is not finite. */
  readonly diverged: number;
  /** Heads are f32: nothing is scaled. */
  readonly lossScale?: undefined;
}

export type ProbeEvent =
  | { readonly kind: "start"; readonly updates: number; readonly images: number }
  | ({ readonly kind: "update"; readonly stage: 1 } & UpdateHeader & ProbeUpdate & UpdateCost)
  | ProbeScores;

/** The linear probe as a method of training, in one stage: a grid of heads on a frozen encoder. */
export class LinearProbeMethod implements TrainingMethod<ProbeUpdate, ProbeEvent> {
  readonly name = "linear probe";
  readonly updatesInFlight = 1;
  readonly scaled = undefined;
  readonly needsEvaluations = true;
  readonly stages: readonly TrainingStage[];
  readonly selection: ProbeSelection;
  /** Scores by epoch. */
  readonly scores = new Map<number, ProbeScores>();
  readonly #step: RecordedProgram<Outputs>;
  readonly #predictions: RecordedProgram<Outputs>;

  constructor(
    readonly heads: ProbeHeads,
    readonly config: LinearProbeConfig,
    readonly data: ProbeData,
    readonly store: RunStore,
    /** Written into the file of the chosen head. */
    readonly metadata: Readonly<Record<string, string>>,
  ) {
    requireBatch("linear probe", data.images, config.batch);
    const updatesPerEpoch = Math.floor(data.images / config.batch);
    this.stages = [{ stage: 1, updates: config.epochs * updatesPerEpoch, updatesPerEpoch, evaluateEvery: 1 }];
    this.selection = new ProbeSelection(config.select, splitHeads(heads.grid).choosable.length);
    this.#step = heads.recordUpdate(config.batch);
    this.#predictions = heads.recordPredictions(rowsPerRun);
  }

  get device(): Device {
    return this.heads.device;
  }

  /** What an update takes on the device, from the plan: heads, their velocities, activations and inputs. */
  get plannedBytes(): number {
    const { stateBytes, plannedPeakBytes, inputBytes } = this.#step.stats;
    return stateBytes + plannedPeakBytes + inputBytes + this.#predictions.stats.plannedPeakBytes;
  }

  startEvent(run: { readonly updates: number; readonly images: number }): ProbeEvent {
    return { kind: "start", ...run };
  }

  async initialize(): Promise<void> {
    this.heads.initialise(this.config.seed);
  }

  async beginStage(): Promise<void> {}

  async run(batch: ImageBatch, place: UpdatePlace): Promise<{ readonly result: Promise<ProbeUpdate> }> {
    const { config, heads, data } = this;
    const { rates } = heads.grid;
    const [{ updates } = { updates: 0 }] = this.stages;
    const peaks = rates.map((rate) => peakLearningRate(rate, config.batch));
    const inputs = {
      ...Object.fromEntries(await data.featuresOf(batch, place)),
      targets: Uint32Array.from(
        { length: config.batch * rates.length },
        (_, i) => batch.labels[Math.floor(i / rates.length)] ?? 0,
      ),
      rates: Float32Array.from(peaks, (peak) => probeRateAt(peak, updates, place.update)),
    };
    const names = Object.keys(this.#step.outputs);
    const readback = await this.#step.run(inputs, names);
    return {
      result: readback.read().then((losses) => lossSummary(names.flatMap((name) => [...(losses[name] ?? [])]))),
    };
  }

  updateEvent(_: TrainingStage, header: UpdateHeader, result: ProbeUpdate, cost: UpdateCost): ProbeEvent {
    return { kind: "update", stage: 1, ...header, ...result, ...cost };
  }

  check(update: number, { diverged }: ProbeUpdate): void {
    const { heads } = this.heads.grid;
    if (diverged < heads.length) return;
    throw new CollapseError(
      `linear probe: the losses of all ${heads.length} heads are not finite at update ${update}; give lower --rates`,
    );
  }

  state(): RunState {
    return { arenas: {}, tensors: this.heads.tensors };
  }

  checkpointMetadata(_: TrainingStage, { update }: { readonly update: number }): RunCheckpointMetadata {
    return { stage: "1", update: String(update) };
  }

  async evaluate(moment: EvaluationMoment<TrainingStage>): Promise<ProbeScores | undefined> {
    if (moment.at === "beginning" || moment.at === "end") return undefined;
    const { heldOut, test } = this.data;
    const scores: ProbeScores = {
      kind: "probe",
      stage: 1,
      epoch: moment.epoch,
      ...(heldOut ? { heldOut: await this.#correct(heldOut) } : {}),
      test: await this.#correct(test),
    };
    await this.#take(scores);
    return scores;
  }

  recall(line: unknown): void {
    const { data } = probeScoresSchema.safeParse(line);
    if (!data) return;
    this.scores.set(data.epoch, data);
    this.selection.add(data);
  }

  /** Keeps the weights of the best head as soon as it is known: later updates change them. */
  async #take(scores: ProbeScores): Promise<void> {
    this.scores.set(scores.epoch, scores);
    if (!this.selection.add(scores)) return;
    const { best } = this.selection;
    const { grid } = this.heads;
    const head = best && grid.heads[best.head];
    if (!best || !head) return;
    const feature = grid.features[head.feature]?.name ?? "";
    const which = { head: head.name, epoch: best.epoch };
    await saveProbeHead(this.store, await this.heads.trained(head), which, { ...this.metadata, feature });
  }

  /** Right ones per head. */
  async #correct({ rows, labels }: LabelledRows): Promise<number[]> {
    const { grid } = this.heads;
    const total = new Array<number>(grid.heads.length).fill(0);
    const names = Object.keys(this.#predictions.outputs);
    for (let first = 0; first < rows.length; first += rowsPerRun) {
      const indices = Uint32Array.from({ length: Math.min(rowsPerRun, rows.length - first) }, (_, i) => first + i);
      const inputs = Object.fromEntries(await rows.gather(indices, rowsPerRun));
      const found = await (await this.#predictions.run(inputs, names)).read();
      const predicted = names.map((name) => found[name] ?? new Uint32Array());
      const known = labels.subarray(first, first + indices.length);
      const correct = correctPerHead(predicted, known, grid.rates.length, grid.choosableFeatures);
      correct.forEach((count, head) => {
        total[head] = (total[head] ?? 0) + count;
      });
    }
    return total;
  }

  /** Nothing: the best head is written as soon as it is known. */
  async writeResult(): Promise<void> {}

  /** Frees programs and heads. */
  destroy(): void {
    this.#step.destroy();
    this.#predictions.destroy();
    this.heads.destroy();
  }
}

/** Of the losses of all heads. */
export function lossSummary(losses: readonly number[]): ProbeUpdate {
  const finite = losses.filter(Number.isFinite);
  return { loss: finite.reduce((sum, loss) => sum + loss, 0) / finite.length, diverged: losses.length - finite.length };
}
