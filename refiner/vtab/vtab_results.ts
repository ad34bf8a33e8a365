import { z } from "zod";
import { EvaluationError } from "../evaluation/index.ts";
import type { FinetuneConfig } from "../methods/finetune/finetune_config.ts";
import type { RunStore } from "../training/run_store.ts";

/** Which run: the search trains on 800 images and is tested on 200, a final one trains on all and is tested on the test images. */
export interface VtabRunName {
  readonly task: string;
  readonly stage: "search" | "final";
  readonly rate: number;
  readonly seed: number;
}

/** What a run found. */
export interface VtabRun extends VtabRunName {
  /** Classes of the head. */
  readonly classes: number;
  /** Share of the tested images whose largest logit is that of their class. */
  readonly accuracy: number;
  /** Those that were tested; broken ones were not. */
  readonly images: number;
  /** Predicted class of every image of the test list, -1 for broken ones; of final runs. */
  readonly predicted?: Int32Array;
}

const folder = "runs";

/** Settings that change what a run finds; the others are about time and memory. */
function decisive({ workers, prefetch, maxBad, checkpointEvery, checkpointMinutes, ...others }: FinetuneConfig) {
  return others;
}

const runSchema = z.strictObject({
  task: z.string(),
  stage: z.enum(["search", "final"]),
  rate: z.number(),
  seed: z.int(),
  classes: z.int(),
  accuracy: z.number(),
  images: z.int(),
  predicted: z.array(z.int()).optional(),
  settings: z.record(z.string(), z.unknown()),
});

/** Results of finished runs, a file each, such as `runs/cifar.search.0.001.seed0.json`. */
export class VtabResults {
  constructor(readonly store: RunStore) {}

  #file({ task, stage, rate, seed }: VtabRunName): string {
    return `${folder}/${task}.${stage}.${rate}.seed${seed}.json`;
  }

  /**
   * @returns undefined where the run is not finished, or its file is damaged
   * @throws EvaluationError for a run of other settings
   */
  async read(name: VtabRunName, settings: FinetuneConfig): Promise<VtabRun | undefined> {
    const file = this.#file(name);
    const { data } = runSchema.safeParse(parsed(await this.store.readText(file)));
    if (!data) return undefined;
    const { settings: stored, predicted, ...run } = data;
    const wanted: Readonly<Record<string, unknown>> = decisive(settings);
    const differing = Object.keys(wanted).filter((key) => JSON.stringify(wanted[key]) !== JSON.stringify(stored[key]));
    if (differing.length > 0)
      throw new EvaluationError(
        `vtab: ${file} was made with other settings (${differing.join(", ")}); go on with those that it began with, or start over`,
      );
    return { ...run, ...(predicted ? { predicted: Int32Array.from(predicted) } : {}) };
  }

  async write({ predicted, ...run }: VtabRun, settings: FinetuneConfig): Promise<void> {
    const value = { ...run, ...(predicted ? { predicted: [...predicted] } : {}), settings: decisive(settings) };
    await this.store.writeText(this.#file(run), `${JSON.stringify(value)}\n`);
  }

  /** Finished runs, of whatever settings. */
  async count(): Promise<number> {
    return (await this.store.list(folder)).filter((file) => file.endsWith(".json")).length;
  }

  /** Removes the results of earlier runs. */
  async clear(): Promise<void> {
    for (const file of await this.store.list(folder)) await this.store.remove(`${folder}/${file}`);
  }

  /** Removes what a killed process left half-written. */
  async removeUnfinished(): Promise<void> {
    for (const file of await this.store.list(folder))
      if (file.endsWith(".part")) await this.store.remove(`${folder}/${file}`);
  }
}

function parsed(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
