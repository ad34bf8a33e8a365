import { OptionError } from "../../engine/index.ts";
import type { VisionTransformer } from "../../models/index.ts";
import type { RunStore } from "../training/run_store.ts";
import { WorkingStore } from "../training/working_store.ts";
import type { VtabConfig } from "./vtab_config.ts";
import type { VtabEvent } from "./vtab_events.ts";
import { VtabResults, type VtabRun, type VtabRunName } from "./vtab_results.ts";
import { runOf } from "./vtab_run.ts";
import { finalRuns, labelsOf, type PreparedTask, preparedTask, searchRuns, sideOf } from "./vtab_schedule.ts";
import {
  chosenRate,
  summaryOfGroups,
  summaryOfTask,
  type VtabGroupResult,
  type VtabTaskResult,
} from "./vtab_summary.ts";
import type { VtabTask } from "./vtab_tasks.ts";

export interface VtabOptions {
  /** What is judged; it stays as it is. */
  readonly encoder: VisionTransformer;
  /** In the order of the table. */
  readonly tasks: readonly VtabTask[];
  readonly config: VtabConfig;
  /** Side of the square images; default the encoder's. */
  readonly imagePixels?: number | undefined;
  /** Takes the results of finished runs, and the state of the present one. Without it nothing can be gone on with. */
  readonly store?: RunStore | undefined;
  /** Go on with what the store holds. */
  readonly resume?: boolean;
  /** Saves the present run, and ends. */
  readonly signal?: AbortSignal;
}

export interface VtabResult {
  /** False where the signal ended it. */
  readonly finished: boolean;
  /** Those that are finished. */
  readonly tasks: readonly VtabTaskResult[];
  /** Means over the tasks by group, and over all; empty where it is not finished. */
  readonly groups: readonly VtabGroupResult[];
}

/**
 * VTAB-1k (arXiv 1910.04867) as vtab1k-pytorch measures it for MIM-Refiner (arXiv 2402.10093): per task the whole encoder is fine-tuned with
 * a linear head on 800 images at several learning rates and seeds, the rate of the best mean accuracy on 200 others is chosen, and its
 * runs on all 1000 are tested on the test images after the last epoch. Images are squashed to a square; nothing is augmented.
 *
 * The same configuration, data and device give the same numbers, interrupted or not.
 *
 * @throws OptionError for a task that is not known, or several of a name; DataFormatError for labels that do not fit; EvaluationError for a
 *   store with runs of other settings; and what {@link finetune} throws
 */
export async function* vtab(options: VtabOptions): AsyncGenerator<VtabEvent, VtabResult> {
  const { tasks, store, resume = false } = options;
  const twice = tasks.find(({ name }, i) => tasks.findIndex((task) => task.name === name) !== i);
  if (twice || tasks.length === 0)
    throw new OptionError(
      `vtab: ${twice ? `the task ${twice.name} is given twice` : "there is no task"}; give each once, and at least one`,
    );
  const results = store && new VtabResults(store);
  const working = store && new WorkingStore(store);
  if (resume) await results?.removeUnfinished();
  else {
    await results?.clear();
    await working?.clear();
  }
  const runner = new Runner(options, results, working);
  const summaries: VtabTaskResult[] = [];
  for (const task of tasks) {
    const summary = yield* runner.task(task);
    if (!summary) return { finished: false, tasks: summaries, groups: [] };
    summaries.push(summary);
  }
  await working?.clear(); // of a run that was finished when its process was killed
  return { finished: true, tasks: summaries, groups: summaryOfGroups(summaries) };
}

class Runner {
  /** What was told of the present task: its runs find the same. */
  readonly #told = new Set<string>();

  constructor(
    readonly options: VtabOptions,
    readonly results: VtabResults | undefined,
    readonly working: WorkingStore | undefined,
  ) {}

  /** @returns undefined where the signal ended it */
  async *task(given: VtabTask): AsyncGenerator<VtabEvent, VtabTaskResult | undefined> {
    const { encoder, config, imagePixels } = this.options;
    const sidePixels = sideOf(encoder, imagePixels);
    const task = preparedTask(given, { sidePixels, channels: encoder.config.channels === 1 ? 1 : 3 });
    this.#told.clear();
    const search = yield* this.#runs(task, searchRuns(task.name, config), sidePixels);
    if (!search) return undefined;
    const rate = search.length > 0 ? chosenRate(search) : (config.learningRates[0] ?? Number.NaN);
    const final = yield* this.#runs(task, finalRuns(task.name, config, rate), sidePixels);
    return final && summaryOfTask(search, final, labelsOf(task, "test"));
  }

  async *#runs(
    task: PreparedTask,
    names: readonly VtabRunName[],
    sidePixels: number,
  ): AsyncGenerator<VtabEvent, VtabRun[] | undefined> {
    const { encoder, config, signal } = this.options;
    const runs: VtabRun[] = [];
    for (const name of names) {
      if (signal?.aborted) return undefined;
      const job = {
        name,
        task,
        ...{ encoder, config, sidePixels, signal },
        ...{ results: this.results, working: this.working },
      };
      const found = yield* this.#once(runOf(job));
      if (!found) return undefined;
      runs.push(found);
    }
    return runs;
  }

  /** Passes events on, but no notice twice for a task. */
  async *#once<Result>(events: AsyncGenerator<VtabEvent, Result>): AsyncGenerator<VtabEvent, Result> {
    for (;;) {
      const next = await events.next();
      if (next.done) return next.value;
      const event = next.value;
      if (event.kind === "notice" || event.kind === "broken") {
        if (this.#told.has(event.text)) continue;
        this.#told.add(event.text);
      }
      yield event;
    }
  }
}
