import { DeviceLostError, type LossScale } from "../../engine/index.ts";
import { sharedBatches } from "../data/batches/shared_batches.ts";
import { BrokenImages, batchesOfEpochs, type ImageBatch } from "../data/index.ts";
import { largestArea } from "../data/views/view_inputs.ts";
import { Agreement } from "../exchange/agreement.ts";
import { type Exchange, fromFirst, oneRank } from "../exchange/exchange.ts";
import { appendMetrics, MadeEvaluations } from "./metrics_log.ts";
import { resumeRun } from "./resume.ts";
import { saveRunCheckpoint } from "./run_checkpoint.ts";
import { StepClock } from "./step_clock.ts";
import { notice, type TrainingEvent } from "./training_events.ts";
import type { EvaluationMoment, TrainingMethod, TrainingStage, UpdatePlace } from "./training_method.ts";
import { type RunPosition, TrainingPlan } from "./training_plan.ts";
import type { TrainingOutcome, TrainingRun } from "./training_run.ts";
import { type UpdateWatch, unwatched } from "./update_watch.ts";

/**
 * Trains by a method: the one loop under every training. The same settings, data and device give the same bytes, interrupted or not.
 *
 * @throws DataError, CheckpointError, and what the method throws
 */
export function trainingLoop<
  Result extends { readonly lossScale?: LossScale },
  Event,
  Stage extends TrainingStage = TrainingStage,
>(
  method: TrainingMethod<Result, Event, Stage>,
  run: TrainingRun,
): AsyncGenerator<Event | TrainingEvent, TrainingOutcome> {
  return new TrainingLoop(method, run).events();
}

/** A submitted update whose numbers are on their way. */
interface Pending<Result> {
  readonly place: UpdatePlace;
  readonly result: Promise<Result>;
}

class TrainingLoop<
  Result extends { readonly lossScale?: LossScale },
  Event,
  Stage extends TrainingStage = TrainingStage,
> {
  readonly #plan: TrainingPlan<Stage>;
  readonly #broken: BrokenImages;
  readonly #brokenEvents: TrainingEvent[] = [];
  readonly #evaluations = new MadeEvaluations();
  readonly #exchange: Exchange;
  readonly #agreement: Agreement;
  #updates = 0;
  #skipped = 0;
  #lastSaveMs = performance.now();
  readonly #watch: UpdateWatch;
  /** Asked for with the first update, so that the start does not wait for it, and awaited by the first checkpoint. */
  #origin: Promise<Readonly<Record<string, string>>> | undefined;

  constructor(
    readonly method: TrainingMethod<Result, Event, Stage>,
    readonly run: TrainingRun,
  ) {
    const { images, settings, watch = unwatched } = run;
    this.#watch = watch;
    this.#plan = new TrainingPlan(method.stages);
    this.#exchange = run.exchange ?? oneRank;
    this.#agreement = new Agreement(this.#exchange, run.signal, () => {
      return performance.now() - this.#lastSaveMs > settings.checkpointMinutes * 60_000;
    });
    this.#broken = new BrokenImages(images.length, {
      maxBad: settings.maxBad,
      onBroken: (error, index) =>
        this.#brokenEvents.push({ kind: "broken", image: images.name(index), text: error.message }),
    });
  }

  async *events(): AsyncGenerator<Event | TrainingEvent, TrainingOutcome> {
    const release = await this.run.store.hold?.();
    try {
      return yield* this.#heldEvents();
    } finally {
      await release?.();
    }
  }

  async *#heldEvents(): AsyncGenerator<Event | TrainingEvent, TrainingOutcome> {
    const { method, run } = this;
    yield method.startEvent({ updates: this.#plan.updates, images: run.images.length });
    await method.initialize?.();
    const position = run.resume ? yield* this.#resume() : undefined;
    if (!position) yield* this.#evaluate({ at: "beginning", epoch: 0 });
    const isTrained = yield* this.#stages(position);
    const finished = isTrained && (yield* this.#finish());
    if (this.#broken.count > 0)
      yield notice(`${this.#broken.count} of ${run.images.length} images were broken and left out`);
    return { finished, updates: this.#updates, skipped: this.#skipped };
  }

  get #isStopped(): boolean {
    return this.#agreement.isStopped || this.#updates >= (this.run.until ?? Number.POSITIVE_INFINITY);
  }

  /** @returns whether all updates of all stages are made, and nothing stops what follows them */
  async *#stages(position: RunPosition | undefined): AsyncGenerator<Event | TrainingEvent, boolean> {
    for (const stage of this.#plan.stages) {
      if (this.#isStopped) return false;
      const before = this.#plan.updatesBefore(stage);
      if (position && position.stage > stage.stage) {
        this.#updates = before + stage.updates;
        continue;
      }
      const start = position?.stage === stage.stage ? position.update : 0;
      if (start === 0) await this.method.beginStage(stage, start);
      this.#updates = before + start;
      yield* this.#train(stage, start);
      const isComplete = this.#updates >= before + stage.updates;
      if (!isComplete || this.#leavesEvaluations) return false;
      const { scaled } = this.method;
      if (scaled) yield notice(`f16 overflow skipped ${this.#skipped} of ${stage.updates} ${scaled.many}`);
      yield* this.#evaluate({ at: "stage end", stage, epoch: this.#plan.epochsThrough(stage) });
    }
    return true;
  }

  /** Whether the signal keeps a run from evaluations that are part of it. */
  get #leavesEvaluations(): boolean {
    return this.#isStopped && this.method.evaluate !== undefined;
  }

  /** @returns whether nothing is left to do */
  async *#finish(): AsyncGenerator<Event | TrainingEvent, boolean> {
    if (this.#leavesEvaluations) return false;
    await this.method.writeResult(this.run.store);
    const stage = this.#plan.stages.at(-1);
    if (stage) yield* this.#evaluate({ at: "end", stage, epoch: this.#plan.epochsThrough(stage) });
    return !this.#leavesEvaluations;
  }

  /** Begins the stage that a run checkpoint was written in, and restores its state. */
  async *#resume(): AsyncGenerator<TrainingEvent, RunPosition | undefined> {
    const { method, run } = this;
    const resumed = yield* resumeRun(run.store, this.#plan, method, this.#exchange);
    if (!resumed) return undefined;
    this.#skipped = (await method.scaled?.scaling.read())?.skipped ?? 0;
    for (const line of resumed.evaluations) {
      method.recall?.(line);
      this.#evaluations.add(line);
    }
    return resumed.position;
  }

  async *#train(stage: Stage, start: number): AsyncGenerator<Event | TrainingEvent, void> {
    const { method, run } = this;
    const missed = this.#plan.evaluationDue(stage, start);
    if (missed !== undefined && !this.#evaluations.has(stage, missed))
      yield* this.#evaluate({ at: "epoch", stage, epoch: missed });
    if (start === stage.updates || this.#isStopped) return;
    const [updatesBefore, epochsBefore] = [this.#plan.updatesBefore(stage), this.#plan.epochsBefore(stage)];
    await this.#watch.begin(stage, { update: start, total: updatesBefore + start });
    const clock = new StepClock(run.settings.batch);
    const pending: Pending<Result>[] = [];
    let update = start;
    for await (const batch of clock.waiting(this.#feed(stage, start))) {
      yield* this.#brokenEvents.splice(0);
      const epoch = epochsBefore + Math.floor(update / stage.updatesPerEpoch);
      const place = { update, total: updatesBefore + update, epoch };
      const { result } = await this.#watch.run(batch, place, () => method.run(batch, place));
      result.catch(() => undefined); // reported when it is awaited
      pending.push({ place, result });
      update++;
      this.#updates = updatesBefore + update;
      yield* this.#report(stage, pending, method.updatesInFlight, clock);
      await this.#agreement.settle();
      if (this.#isMilestone(stage, update)) {
        yield* this.#report(stage, pending, 0, clock);
        yield* this.#reachMilestone(stage, update);
      }
      if (pending.length === 0) clock.restart();
      if (this.#isStopped) break;
    }
  }

  #feed(stage: Stage, start: number): AsyncGenerator<ImageBatch, void, void> {
    const { images, resizeTo, settings } = this.run;
    const first = this.#plan.epochsBefore(stage) * stage.updatesPerEpoch;
    const options = {
      batchSize: settings.batch,
      seed: settings.seed,
      first: first + start,
      end: first + stage.updates,
      prefetch: settings.prefetch,
      resizeTo,
      maxPixels: largestArea(resizeTo),
      broken: this.#broken,
    };
    const { rank, size } = this.#exchange;
    if (size === 1) return batchesOfEpochs(images, options);
    return sharedBatches(images, options, { rank, size, share: (text) => this.#exchange.share(text) });
  }

  /** Tells finished updates, oldest first, until no more than some are on their way. */
  async *#report(
    stage: Stage,
    pending: Pending<Result>[],
    inFlight: number,
    clock: StepClock,
  ): AsyncGenerator<Event | TrainingEvent, void> {
    const { method, run } = this;
    for (const { place, result: coming } of pending.splice(0, Math.max(0, pending.length - inFlight))) {
      const result = await coming;
      const header = { update: place.update + 1, of: stage.updates, epoch: place.epoch };
      const deviceBytes = method.device.counters.heldBytes;
      const cost = { ...clock.lap(), deviceBytes, ...(run.hostBytes ? { hostBytes: run.hostBytes() } : {}) };
      const event = method.updateEvent(stage, header, result, cost);
      await appendMetrics(run.store, event);
      yield event;
      yield* this.#skips(header.update, result);
      method.check(header.update, result);
      this.#askOrigin().catch(() => undefined); // reported by the checkpoint that needs it
    }
  }

  #askOrigin(): Promise<Readonly<Record<string, string>>> {
    this.#origin ??= this.run.origin?.() ?? Promise.resolve({});
    return this.#origin;
  }

  *#skips(update: number, { lossScale }: Result): Generator<TrainingEvent, void> {
    if (!lossScale || lossScale.skipped === this.#skipped) return;
    this.#skipped = lossScale.skipped;
    const what = this.method.scaled?.one ?? "the update";
    yield notice(
      `update ${update}: f16 overflow, ${what} was skipped (${this.#skipped} so far), the loss scale is now ${lossScale.scale}`,
    );
  }

  /** Whether everything is told, and perhaps saved and evaluated, before the next update. */
  #isMilestone(stage: Stage, update: number): boolean {
    return update % stage.updatesPerEpoch === 0 || this.#savesAnyway(stage, update);
  }

  /** At the end of the stage, of the run, and of some minutes. */
  #savesAnyway(stage: Stage, update: number): boolean {
    return update === stage.updates || this.#isStopped || this.#agreement.isSaveDue;
  }

  async *#reachMilestone(stage: Stage, update: number): AsyncGenerator<Event | TrainingEvent, void> {
    const epochs = update / stage.updatesPerEpoch;
    const isDue = Number.isInteger(epochs) && epochs % this.run.settings.checkpointEvery < 1;
    if (isDue || this.#savesAnyway(stage, update)) yield await this.#save(stage, update);
    const due = this.#plan.evaluationDue(stage, update);
    if (due !== undefined && !this.#isStopped) yield* this.#evaluate({ at: "epoch", stage, epoch: due });
  }

  async #save(stage: Stage, update: number): Promise<TrainingEvent> {
    const { method, run } = this;
    const total = this.#updates;
    const made = this.#evaluations.metadata;
    const metadata = { ...(await this.#askOrigin()), ...method.checkpointMetadata(stage, { update, total }), ...made };
    const hash = await this.#watch.present();
    const file = await saveRunCheckpoint(run.store, total, { ...method.state(), hash }, metadata, this.#exchange);
    this.#lastSaveMs = performance.now();
    return { kind: "checkpoint", file };
  }

  /** Whether training ends with an evaluation that fails; not where all updates are made, and the result is the weights. */
  #needs(moment: EvaluationMoment<Stage>): boolean {
    const isLast = moment.at === "stage end" && moment.stage === this.#plan.stages.at(-1);
    return this.method.needsEvaluations === true || !(isLast || moment.at === "end");
  }

  /** Evaluates at the first rank; the others wait, and hear what was found. */
  async *#evaluate(moment: EvaluationMoment<Stage>): AsyncGenerator<Event | TrainingEvent, void> {
    const { rank } = this.#exchange;
    const event = rank === 0 ? yield* this.#evaluateHere(moment) : undefined;
    const told = await fromFirst(this.#exchange, JSON.stringify(event ?? null), { isPatient: true });
    if (rank > 0) this.#evaluations.add(JSON.parse(told));
    await this.#agreement.settle();
  }

  async *#evaluateHere(moment: EvaluationMoment<Stage>): AsyncGenerator<Event | TrainingEvent, Event | undefined> {
    const failures: string[] = [];
    const event = await this.method.evaluate?.(moment).catch((error: unknown) => {
      if (this.run.signal?.aborted) return undefined; // a resumed run makes it again
      if (this.#needs(moment) || error instanceof DeviceLostError) throw error;
      failures.push(error instanceof Error ? error.message : String(error));
      return undefined;
    });
    for (const failure of failures) yield notice(`the evaluation at the end failed, and is left out: ${failure}`);
    if (event === undefined) return undefined;
    await this.#evaluations.append(this.run.store, event);
    yield event;
    return event;
  }
}
