import type { Classifier, VisionTransformer } from "../../models/index.ts";
import type { ImageSource } from "../data/index.ts";
import { accuracyOf, classifyImages, NonFiniteFeaturesError } from "../evaluation/index.ts";
import { type FinetuneEvent, type FinetuneResult, finetune } from "../methods/finetune/finetune.ts";
import type { FinetuneConfig } from "../methods/finetune/finetune_config.ts";
import { CollapseError } from "../training/collapse_error.ts";
import { forgetfulStore, type WorkingStore } from "../training/working_store.ts";
import { type VtabConfig, vtabFinetuning } from "./vtab_config.ts";
import type { VtabEvent } from "./vtab_events.ts";
import type { VtabResults, VtabRun, VtabRunName } from "./vtab_results.ts";
import { imagesOfRun, type PreparedTask, sizeOfRun } from "./vtab_schedule.ts";

/** A run, and all that it needs. */
export interface VtabJob {
  readonly name: VtabRunName;
  readonly task: PreparedTask;
  readonly encoder: VisionTransformer;
  readonly config: VtabConfig;
  readonly sidePixels: number;
  readonly signal: AbortSignal | undefined;
  /** Of finished runs. */
  readonly results: VtabResults | undefined;
  /** Of this run while it is not. */
  readonly working: WorkingStore | undefined;
}

/** Takes a run's result from the store, or makes the run and keeps it. @returns undefined where the signal ended it */
export async function* runOf(job: VtabJob): AsyncGenerator<VtabEvent, VtabRun | undefined> {
  const { name, results, working } = job;
  const { updates } = sizeOfRun(job.task, job.config, name);
  const settings = vtabFinetuning(job.config, { ...name, pixels: job.sidePixels });
  const damages: string[] = [];
  const kept = await results?.read(name, settings, (text) => damages.push(text));
  for (const text of damages) yield { kind: "notice", text };
  const run = kept ?? (yield* finetuned(job, settings));
  if (!run) return undefined;
  if (!kept) {
    await results?.write(run, settings);
    await working?.clear();
  }
  yield { kind: "run", run, updates, wasKept: kept !== undefined };
  return run;
}

async function* finetuned(job: VtabJob, settings: FinetuneConfig): AsyncGenerator<VtabEvent, VtabRun | undefined> {
  const { name, task, encoder, signal, working } = job;
  const { train, test } = imagesOfRun(task, name.stage);
  const tester = new Tester(test, { maxBad: settings.maxBad, signal });
  const events = finetune({
    encoder,
    images: train,
    config: settings,
    store: working ?? forgetfulStore,
    resume: working !== undefined && (await working.begin(Object.values(name).join(" "), settings)),
    rules: "vtab",
    test: (model) => tester.test(model),
    ...(signal ? { signal } : {}),
  });
  const found = { ...name, classes: task.classes };
  try {
    const finished = yield* followed(events, tester, name);
    return finished ? { ...found, ...tester.result(name.stage) } : undefined;
  } catch (error) {
    // The last update is judged by no loss: the first to see that it diverged is the test.
    const hasDiverged = error instanceof CollapseError || error instanceof NonFiniteFeaturesError;
    if (!hasDiverged || name.stage === "final") throw error;
    const text = `rate ${name.rate} diverges on ${task.name} (seed ${name.seed}) and counts as 0 right: ${error.message}`;
    yield { kind: "notice", text };
    return { ...found, accuracy: 0, images: test.length };
  }
}

/** Passes on what users should know. @returns whether the fine-tuning is finished */
async function* followed(
  events: AsyncGenerator<FinetuneEvent, FinetuneResult>,
  tester: Tester,
  run: VtabRunName,
): AsyncGenerator<VtabEvent, boolean> {
  for (;;) {
    const next = await events.next();
    yield* tester.notices();
    if (next.done) {
      next.value.model.destroy();
      return next.value.finished;
    }
    const event = next.value;
    if (event.kind === "update") yield { kind: "update", run, update: event.update, of: event.of };
    if (event.kind === "notice") yield event;
    if (event.kind === "broken") yield event;
  }
}

/** What the classifier of a run says of its test images. */
class Tester {
  readonly #predicted: Int32Array;
  readonly #broken: string[] = [];

  constructor(
    readonly images: ImageSource,
    readonly options: { readonly maxBad: number; readonly signal: AbortSignal | undefined },
  ) {
    this.#predicted = new Int32Array(images.length).fill(-1);
  }

  async test(model: Classifier): Promise<{ readonly accuracy: number; readonly images: number }> {
    const { maxBad, signal } = this.options;
    this.#predicted.fill(-1);
    const reading = { maxBad, onBroken: (error: Error) => void this.#broken.push(error.message) };
    for await (const { index, best } of classifyImages(model, this.images, {
      ...reading,
      top: 1,
      ...(signal ? { signal } : {}),
    }))
      this.#predicted[index] = best[0]?.label ?? -1;
    return this.#share();
  }

  #share(): { readonly accuracy: number; readonly images: number } {
    const tested = [...this.#predicted.keys()].filter((i) => (this.#predicted[i] ?? -1) >= 0);
    const labels = tested.map((i) => this.images.label(i) ?? -1);
    const { value, images } = accuracyOf({ labels, predicted: tested.map((i) => this.#predicted[i] ?? -1) });
    return { accuracy: value, images };
  }

  /** Broken test images since it was asked last. */
  *notices(): Generator<VtabEvent> {
    for (const text of this.#broken.splice(0)) yield { kind: "notice", text: `left out: ${text}` };
  }

  result(stage: VtabRunName["stage"]): Pick<VtabRun, "accuracy" | "images" | "predicted"> {
    return { ...this.#share(), ...(stage === "final" ? { predicted: this.#predicted } : {}) };
  }
}
